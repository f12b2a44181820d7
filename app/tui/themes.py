"""The app's own colours, dark and light; Textual's themes stand beside them in the palette."""

from textual.theme import Theme

DARK = Theme(
    name="localllm-dark",
    primary="#7aa2f7",
    secondary="#9d7cd8",
    accent="#e0af68",
    warning="#e0af68",
    error="#f7768e",
    success="#9ece6a",
    foreground="#d5d9e8",
    background="#15161e",
    surface="#1b1d28",
    panel="#2a2e3f",
    dark=True,
    variables={
        "border-blurred": "#3b4261",
        "block-cursor-background": "#2f3754",
        "block-cursor-foreground": "#e6e9f5",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#252a3d",
        "input-selection-background": "#7aa2f7 35%",
    },
)

LIGHT = Theme(
    name="localllm-light",
    primary="#2e5fc4",
    secondary="#7847bd",
    accent="#8f5e15",
    warning="#8f5e15",
    error="#c0334d",
    success="#3f7d20",
    foreground="#2a2d3e",
    background="#f7f7fa",
    surface="#ececf2",
    panel="#d9dae5",
    dark=False,
    variables={
        "border-blurred": "#b4b8cc",
        "block-cursor-background": "#d3dbf2",
        "block-cursor-foreground": "#1f2233",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#e0e3ee",
    },
)

DEFAULT = DARK.name
