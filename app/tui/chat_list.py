"""The list of past chats, ordered into days. Pure."""

from datetime import datetime

from app.history import ChatSummary


def day_label(at: datetime, now: datetime) -> str:
    """The heading under which a chat last used `at` stands."""
    days = (now.date() - at.date()).days
    if days <= 0:
        return "Today"
    if days == 1:
        return "Yesterday"
    if days < 7:
        return "This week"
    if days < 31:
        return "This month"
    return at.strftime("%B %Y")


def grouped(
    chats: list[ChatSummary], now: datetime | None = None
) -> list[tuple[str, list[ChatSummary]]]:
    """The chats under their headings; both keep the order they came in."""
    now = now or datetime.now()
    groups: list[tuple[str, list[ChatSummary]]] = []
    for chat in chats:
        label = day_label(datetime.fromtimestamp(chat.updated_at), now)
        if not groups or groups[-1][0] != label:
            groups.append((label, []))
        groups[-1][1].append(chat)
    return groups
