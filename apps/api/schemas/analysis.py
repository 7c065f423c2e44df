"""The analysis of a pool's repositories, as the API sends it (apps.fleet.analysis)."""

from pydantic import BaseModel, ConfigDict, Field


class _FromAnalysis(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class VersionConflictOut(_FromAnalysis):
    """A package that endpoints would get in different versions."""

    name: str
    versions: dict[str, list[str]] = Field(description="The endpoints that would get each version.")


class AvailabilityOut(_FromAnalysis):
    """What an endpoint's own repositories have of the target."""

    endpoint: str
    exact: int = Field(description="How many packages in exactly the target's version.")
    other: list[str] = Field(description="In another version: they come from the source's mirrors, or an archive.")
    missing: list[str]


class AnalysisOut(_FromAnalysis):
    pool: str
    endpoints: list[str] = Field(description="Those that have reported repositories.")
    unreported: list[str]
    common: list[str] = Field(description="Packages that the repositories of every endpoint offer.")
    conflicts: list[VersionConflictOut]
    excluded: list[str] = Field(description="Packages that the pool's patterns leave out of every sync.")
    target: int | None
    availability: list[AvailabilityOut]
