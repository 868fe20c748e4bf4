"""The reference page says what the settings are."""

from pathlib import Path

from atoll.operate.reference import settings_page

PAGE = Path(__file__).parents[3] / "docs/reference/settings.md"


def test_the_page_is_the_settings() -> None:
    assert PAGE.read_text("utf-8") == settings_page(), "python -m atoll.operate.reference > docs/reference/settings.md"
