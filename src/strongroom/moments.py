"""Points in time as signed records write them: UTC, whole seconds, "2026-11-22T12:43:00Z"."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from strongroom.errors import PackageError

_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"

Moment = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z\Z")
]


def parse_moment(text: str) -> datetime:
    """The point in time that a record names.

    Raises:
        ValueError: there is no such day or time, or the text has another form.
    """
    moment = datetime.strptime(text, _FORM).replace(tzinfo=UTC)
    if moment.strftime(_FORM) != text:
        raise ValueError(f"{text[:40]!a} is not a UTC time")
    return moment


def write_moment(moment: datetime) -> str:
    """The text of a point in time, cut to whole seconds.

    Raises:
        PackageError: SR-PACKAGE-GRANT if it doesn't say its time zone, or is before year 1000.
    """
    if moment.tzinfo is None:
        raise PackageError(
            "SR-PACKAGE-GRANT",
            f"the time {moment.isoformat()} does not say its time zone",
            "Pass a datetime with tzinfo, such as datetime.now(UTC)",
        )
    utc = moment.astimezone(UTC)
    if utc.year < 1000:  # strftime would not pad it
        raise PackageError("SR-PACKAGE-GRANT", f"the year {utc.year} can't be written")
    return utc.strftime(_FORM)
