from datetime import datetime

from app.history import ChatSummary
from app.tui.chat_list import day_label, grouped

NOW = datetime(2026, 3, 18, 10, 0)


def test_days_have_names() -> None:
    assert day_label(datetime(2026, 3, 18, 0, 1), NOW) == "Today"
    assert day_label(datetime(2026, 3, 17, 23, 59), NOW) == "Yesterday"
    assert day_label(datetime(2026, 3, 13), NOW) == "This week"
    assert day_label(datetime(2026, 2, 20), NOW) == "This month"
    assert day_label(datetime(2025, 12, 1), NOW) == "December 2025"


def test_chats_stand_under_their_day_in_order() -> None:
    times = [datetime(2026, 3, 18, 9), datetime(2026, 3, 18, 8), datetime(2026, 3, 17)]
    chats = [ChatSummary(i, f"{i}", "m", at.timestamp()) for i, at in enumerate(times)]
    groups = [(label, [chat.id for chat in group]) for label, group in grouped(chats, NOW)]
    assert groups == [("Today", [0, 1]), ("Yesterday", [2])]
