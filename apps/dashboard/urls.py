"""The addresses of the dashboard. Names in them are names of the fleet; anything else is a 404."""

from django.contrib.auth import views as auth_views
from django.urls import path, register_converter

from apps.dashboard.views import (
    api_tokens,
    audit,
    enrolment_codes,
    icon,
    login,
    overview,
    second_factor,
    vulnerabilities,
)
from apps.dashboard.views.endpoints import actions as endpoint_actions
from apps.dashboard.views.endpoints import identity, selected, timeline, tokens
from apps.dashboard.views.endpoints import list as endpoint_list
from apps.dashboard.views.endpoints import page as endpoint_page
from apps.dashboard.views.operations import actions as operation_actions
from apps.dashboard.views.operations import list as operation_list
from apps.dashboard.views.operations import page as operation_page
from apps.dashboard.views.packages import compare, lists, search
from apps.dashboard.views.pools import actions as pool_actions
from apps.dashboard.views.pools import analysis, checksums, excluded, sync
from apps.dashboard.views.pools import page as pool_page
from apps.dashboard.views.targets import from_endpoint, preview, promote, revisions, signature
from apps.fleet.alpm.names import MAX_NAME
from apps.fleet.names import NAME_PATTERN


class NameConverter:
    regex = NAME_PATTERN.strip("^$")

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


class PackageNameConverter(NameConverter):
    regex = f"[A-Za-z0-9@_+][A-Za-z0-9@._+-]{{0,{MAX_NAME - 1}}}"


class DigestConverter(NameConverter):
    regex = "[0-9a-f]{64}"


register_converter(NameConverter, "name")
register_converter(PackageNameConverter, "pkgname")
register_converter(DigestConverter, "digest")

urlpatterns = [
    path("", overview.overview, name="overview"),
    # For pages that name no icon of their own, as Django's admin.
    path("favicon.ico", icon.favicon, name="favicon"),
    path("login", login.Login.as_view(), name="login"),
    path("logout", auth_views.LogoutView.as_view(), name="logout"),
    path("password", login.PasswordChange.as_view(), name="password_change"),
    path("second-factor", second_factor.page, name="second_factor"),
    path("create-pool", pool_actions.create, name="create_pool"),
    path("pools/<name:name>", pool_page.detail, name="pool"),
    path("pools/<name:name>/change", pool_actions.change, name="change_pool"),
    path("pools/<name:name>/delete", pool_actions.delete, name="delete_pool"),
    path("pools/<name:name>/analysis", analysis.analysis, name="analysis"),
    path("pools/<name:name>/excluded", excluded.excluded, name="excluded"),
    path("pools/<name:name>/preview", preview.preview, name="preview"),
    path("pools/<name:name>/sync", sync.sync_all, name="sync_pool"),
    path("pools/<name:name>/promote", promote.choose, name="choose_promoted"),
    path("pools/<name:name>/promote/<name:source>", promote.promote, name="promote"),
    path("pools/<name:name>/target", from_endpoint.choose, name="choose_target"),
    path("pools/<name:name>/target/<name:endpoint>", from_endpoint.set_target, name="set_target"),
    path("pools/<name:name>/revisions/<int:number>", revisions.revision, name="revision"),
    path("pools/<name:name>/confirm", revisions.confirm, name="confirm_target"),
    path("pools/<name:name>/revisions/<int:number>/packages", revisions.packages, name="revision_packages"),
    path("pools/<name:name>/revisions/<int:number>/approve", revisions.approve, name="approve_target"),
    path("pools/<name:name>/revisions/<int:number>/go-back", revisions.go_back, name="go_back"),
    path("pools/<name:name>/revisions/<int:number>/document", signature.document, name="revision_document"),
    path("pools/<name:name>/revisions/<int:number>/sign", signature.sign, name="sign_revision"),
    path("pools/<name:name>/revisions/<int:number>/remove-signature", signature.remove, name="remove_signature"),
    path("endpoints", endpoint_list.listing, name="endpoints"),
    path("selected", selected.ask_about, name="selected"),
    path("selected/do", selected.carry_out, name="do_selected"),
    path("endpoints/<name:name>", endpoint_page.detail, name="endpoint"),
    path("endpoints/<name:name>/packages", lists.of_endpoint, name="endpoint_packages"),
    path("endpoints/<name:name>/timeline", timeline.timeline, name="timeline"),
    path("endpoints/<name:name>/pool", endpoint_actions.assign, name="assign_endpoint"),
    path("endpoints/<name:name>/rights", endpoint_actions.rights, name="endpoint_rights"),
    path("endpoints/<name:name>/sync", endpoint_actions.sync, name="sync_endpoint"),
    path("endpoints/<name:name>/resume", endpoint_actions.resume, name="resume_endpoint"),
    path("endpoints/<name:name>/revert", endpoint_actions.revert, name="revert_endpoint"),
    path("endpoints/<name:name>/revoke-token", tokens.revoke, name="revoke_endpoint_token"),
    path("endpoints/<name:name>/new-token", tokens.rotate, name="rotate_endpoint_token"),
    path("endpoints/<name:name>/approve", identity.approve, name="approve_endpoint"),
    path("endpoints/<name:name>/enrol-again", identity.enrol_again, name="enrol_again"),
    path("endpoints/<name:name>/withdraw-code", identity.withdraw_code, name="withdraw_code"),
    path("endpoints/<name:name>/rotate-token", identity.request_rotation, name="request_rotation"),
    path("endpoints/<name:name>/delete", endpoint_actions.delete, name="delete_endpoint"),
    path("states/<digest:digest>", lists.of_state, name="state"),
    path("packages", search.search, name="packages"),
    path("packages/<pkgname:name>", search.package, name="package"),
    path("compare", compare.compare, name="compare"),
    path("audit", audit.listing, name="audit"),
    path("vulnerabilities", vulnerabilities.listing, name="vulnerabilities"),
    path("checksums", checksums.listing, name="checksums"),
    path("operations", operation_list.listing, name="operations"),
    path("operations/<uuid:id>", operation_page.detail, name="operation"),
    path("operations/<uuid:id>/cancel", operation_actions.cancel, name="cancel_operation"),
    path("operations/<uuid:id>/run-again", operation_actions.run_again, name="run_operation_again"),
    path("tokens", api_tokens.listing, name="api_tokens"),
    path("tokens/<name:name>/revoke", api_tokens.revoke, name="revoke_api_token"),
    path("enrol", enrolment_codes.codes, name="codes"),
    path("enrol/<int:id>/delete", enrolment_codes.delete, name="delete_code"),
]
