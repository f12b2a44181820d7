"""`localllm chat`: the Textual app that holds connection, model and history together."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

from textual import on
from textual.app import App, SystemCommand
from textual.screen import Screen

from app.history import History
from app.locations import history_db
from app.settings import Settings
from app.tui.chat import Chat
from app.tui.chat_options import ChatOptions, parse_options
from app.tui.connection import Connect, Connection
from app.tui.conversation import as_markdown, file_name, last_code_block
from app.tui.keys import COMMANDS
from app.tui.model_state import ModelState, display_name, same_model
from app.tui.screens.chat import ChatScreen
from app.tui.screens.help import Help
from app.tui.screens.model_picker import ModelPicker, is_path
from app.tui.screens.settings import SettingsDialog
from app.tui.themes import DARK, DEFAULT, LIGHT
from models.errors import NotFound, StorageError

BUNDLED = "pocket"


class ChatApp(App[None]):
    """Shows its first frame before the daemon answers."""

    TITLE = "localllm"
    ENABLE_COMMAND_PALETTE = True

    def __init__(self, model: str | None, history: History, connect: Connect) -> None:
        super().__init__()
        self.history = history
        self._is_chosen = model is not None
        name = model or history.preference("last_model") or BUNDLED
        options = parse_options(history.preference("options") or {})
        self.connection = Connection(connect, self.post_message)
        self.chat_screen = ChatScreen(history, self.connection, Chat(history, name, options))
        self.model = ModelState(name)
        self.problem: StorageError | None = None
        """Why chats are not saved, to be said at the start."""
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        wanted = history.preference("theme")
        self.theme = wanted if wanted in self.available_themes else DEFAULT

    def get_default_screen(self) -> Screen[Any]:
        """The chat."""
        return self.chat_screen

    def on_mount(self) -> None:
        """Connect behind the first frame."""
        self._set_model(self.model)
        self.theme_changed_signal.subscribe(self, lambda theme: self._remember("theme", theme.name))
        self.call_after_refresh(self._start)
        if self.problem is not None:
            self.notify(self.problem.message, title="Chats are not saved", severity="warning")

    def _start(self) -> None:
        """What the first frame did not need."""
        self.use_model(self.model.name)
        Thread(target=import_module, args=["app.tui.widgets.answer"], daemon=True).start()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """What Ctrl+P offers: the chat's own commands first."""
        if screen is self.chat_screen:
            for key in COMMANDS:
                yield SystemCommand(
                    key.label, f"{key.description} ({key.shown})", self._runner(key.action)
                )
            yield SystemCommand(
                "Copy code", "Copy the last code block of the last reply", self._copy_code
            )
            yield SystemCommand(
                "Export chat", "Write this chat as Markdown into the current folder", self._export
            )
        for command in super().get_system_commands(screen):
            if command.title in ("Theme", "Quit", "Screenshot"):
                yield command

    def _runner(self, action: str) -> Callable[[], Awaitable[object]]:
        return lambda: self.run_action(action, self.chat_screen)

    # -- the model

    def _set_model(self, state: ModelState) -> None:
        self.model = state
        self.chat_screen.model = state

    def use_model(self, name: str) -> None:
        """Go on with this model; it loads behind the screen."""
        self._set_model(ModelState(name, "loading" if self.connection.is_connected else "starting"))
        self.connection.load(name)

    @on(Connection.DaemonReached)
    def _show_loading(self) -> None:
        if self.model.phase == "starting":
            self._set_model(replace(self.model, phase="loading"))

    @on(Connection.DaemonLost)
    def _show_lost(self) -> None:
        self._set_model(ModelState(self.model.name, "failed"))

    @on(Connection.ModelReady)
    def _show_ready(self, event: Connection.ModelReady) -> None:
        if event.name == self.model.name:
            self._set_model(
                ModelState(event.name, "ready", event.quantization, event.context_length)
            )
            self._remember("last_model", event.name)

    @on(Connection.LoadFailed)
    async def _show_failure(self, event: Connection.LoadFailed) -> None:
        if event.name != self.model.name:
            return
        if event.is_daemon_up and isinstance(event.error, NotFound) and self._falls_back():
            gone = display_name(event.name)
            self.notify(f"{gone} is gone, {BUNDLED} takes its place", severity="warning")
            self.chat_screen.chat.change(BUNDLED, self.chat_screen.chat.options)
            self.use_model(BUNDLED)
            return
        self._set_model(ModelState(event.name, "failed"))
        await self.chat_screen.show_error(event.error)

    def _falls_back(self) -> bool:
        """Whether the model was merely remembered, and there is another one to turn to."""
        is_fresh = not self.chat_screen.chat.conversation.messages
        return not self._is_chosen and is_fresh and not same_model(self.model.name, BUNDLED)

    @on(ChatScreen.LoadWanted)
    def _load(self, event: ChatScreen.LoadWanted) -> None:
        self.use_model(event.model)

    @on(Connection.ModelsListed)
    def _show_models(self, event: Connection.ModelsListed) -> None:
        if isinstance(self.screen, ModelPicker):
            if event.error is None:
                self.screen.show(event.choices)
            else:
                self.screen.show_error(event.error.message)

    def action_pick_model(self) -> None:
        """Let the user choose among the library's models."""
        self.push_screen(ModelPicker(self.model.name), self._choose_model)
        self.connection.list_models()

    def _choose_model(self, name: str | None) -> None:
        if name is None:
            return
        if is_path(name):
            name = str(Path(name).expanduser().absolute())
        self._is_chosen = True
        self.chat_screen.chat.change(name, self.chat_screen.chat.options)
        self.use_model(name)

    # -- the other dialogs

    def action_settings(self) -> None:
        """Change how the next replies are made."""
        self.push_screen(SettingsDialog(self.chat_screen.chat.options), self._use_options)

    def _use_options(self, options: ChatOptions | None) -> None:
        if options is not None:
            self.chat_screen.use_options(options)
            self._remember("options", asdict(options))

    def action_show_keys(self) -> None:
        """Show the keys."""
        self.push_screen(Help())

    async def action_quit(self) -> None:
        """Leave; a reply that is coming is stopped and kept."""
        await self.chat_screen.settle()
        self.connection.stop()
        self.exit()

    def _copy_code(self) -> None:
        conversation = self.chat_screen.chat.conversation
        place = conversation.last("assistant")
        code = None if place is None else last_code_block(conversation.messages[place].content)
        if code is None:
            self.notify("There is no code in the last reply", timeout=3)
            return
        self.copy_to_clipboard(code)
        self.notify(f"Copied {len(code.splitlines()):,} lines of code", timeout=2)

    def _export(self) -> None:
        chat = self.chat_screen.chat
        path = Path(file_name(chat.title))
        try:
            path.write_text(as_markdown(chat.conversation, chat.title), encoding="utf-8")
        except OSError as error:
            self.notify(str(error), title="Not exported", severity="error")
        else:
            self.notify(str(path.absolute()), title="Exported")

    def _remember(self, name: str, value: object) -> None:
        try:
            self.history.set_preference(name, value)
        except StorageError as error:
            self.notify(error.message, title="Not remembered", severity="warning")


def open_history(path: Path) -> tuple[History, StorageError | None]:
    """The history at `path`; where that fails, one in memory and the reason."""
    try:
        return History(path), None
    except StorageError as error:
        return History(None), error


def run_chat(
    model: str | None, settings: Settings, chat_options: Mapping[str, str] | None = None
) -> int:
    """Run the app until the user quits, with these options in every chat; the exit code."""
    from app.private_daemon import connect_or_start

    history, problem = open_history(history_db(settings.home))
    app = ChatApp(
        model,
        history,
        lambda name: connect_or_start(
            settings, None if chat_options else name or None, chat_options
        ),
    )
    app.problem = problem
    try:
        app.run()
    finally:
        app.connection.close()
        history.close()
    return app.return_code or 0
