"""The addresses of the dashboard. Names in them are names of the fleet; anything else is a 404."""

from django.contrib.auth import views as auth_views
from django.urls import path, register_converter

from apps.dashboard.views import (
    analysis,
    audit,
    checksums,
    codes,
    compare,
    endpoint_actions,
    endpoint_tokens,
    endpoints,
    excluded,
    icon,
    login,
    operation,
    operation_actions,
    operations,
    overview,
    package_lists,
    packages,
    pool_actions,
    pool_sync,
    pools,
    preview,
    promote,
    selected,
    targets,
    timeline,
)
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
    path("create-pool", pool_actions.create, name="create_pool"),
    path("pools/<name:name>", pools.detail, name="pool"),
    path("pools/<name:name>/change", pool_actions.change, name="change_pool"),
    path("pools/<name:name>/delete", pool_actions.delete, name="delete_pool"),
    path("pools/<name:name>/analysis", analysis.analysis, name="analysis"),
    path("pools/<name:name>/excluded", excluded.excluded, name="excluded"),
    path("pools/<name:name>/preview", preview.preview, name="preview"),
    path("pools/<name:name>/sync", pool_sync.sync_all, name="sync_pool"),
    path("pools/<name:name>/promote", promote.choose, name="choose_promoted"),
    path("pools/<name:name>/promote/<name:source>", promote.promote, name="promote"),
    path("pools/<name:name>/target", targets.choose, name="choose_target"),
    path("pools/<name:name>/target/<name:endpoint>", targets.set_from_endpoint, name="set_target"),
    path("pools/<name:name>/revisions/<int:number>", targets.revision, name="revision"),
    path("pools/<name:name>/confirm", targets.confirm, name="confirm_target"),
    path("pools/<name:name>/revisions/<int:number>/packages", targets.packages, name="revision_packages"),
    path("pools/<name:name>/revisions/<int:number>/approve", targets.approve, name="approve_target"),
    path("pools/<name:name>/revisions/<int:number>/go-back", targets.go_back, name="go_back"),
    path("endpoints", endpoints.listing, name="endpoints"),
    path("selected", selected.ask_about, name="selected"),
    path("selected/do", selected.carry_out, name="do_selected"),
    path("endpoints/<name:name>", endpoints.detail, name="endpoint"),
    path("endpoints/<name:name>/packages", package_lists.of_endpoint, name="endpoint_packages"),
    path("endpoints/<name:name>/timeline", timeline.timeline, name="timeline"),
    path("endpoints/<name:name>/pool", endpoint_actions.assign, name="assign_endpoint"),
    path("endpoints/<name:name>/rights", endpoint_actions.rights, name="endpoint_rights"),
    path("endpoints/<name:name>/sync", endpoint_actions.sync, name="sync_endpoint"),
    path("endpoints/<name:name>/resume", endpoint_actions.resume, name="resume_endpoint"),
    path("endpoints/<name:name>/revert", endpoint_actions.revert, name="revert_endpoint"),
    path("endpoints/<name:name>/revoke-token", endpoint_tokens.revoke, name="revoke_endpoint_token"),
    path("endpoints/<name:name>/new-token", endpoint_tokens.rotate, name="rotate_endpoint_token"),
    path("endpoints/<name:name>/delete", endpoint_actions.delete, name="delete_endpoint"),
    path("states/<digest:digest>", package_lists.of_state, name="state"),
    path("packages", packages.search, name="packages"),
    path("packages/<pkgname:name>", packages.package, name="package"),
    path("compare", compare.compare, name="compare"),
    path("audit", audit.listing, name="audit"),
    path("checksums", checksums.listing, name="checksums"),
    path("operations", operations.listing, name="operations"),
    path("operations/<uuid:id>", operation.detail, name="operation"),
    path("operations/<uuid:id>/cancel", operation_actions.cancel, name="cancel_operation"),
    path("operations/<uuid:id>/run-again", operation_actions.run_again, name="run_operation_again"),
    path("enrol", codes.codes, name="codes"),
    path("enrol/<int:id>/delete", codes.delete, name="delete_code"),
]
