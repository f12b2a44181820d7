"""How a fact is told and asked for: what one likes best, and anything that one has."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """How a kind of fact is told, acknowledged and asked for; `{}` is the value."""

    tell: tuple[str, ...]
    ask: tuple[str, ...]
    answer: str
    acknowledge: tuple[str, ...] = (
        "Okay, I will remember that.",
        "Got it!",
        "Noted: {}.",
        "Good to know!",
    )


def favorite(kind: str) -> Topic:
    best = "favorite" if len(kind) % 2 else "<favorite|favourite>"
    return Topic(
        tell=(
            f"My <favorite|favourite> {kind} is {{}}.",
            f"{{}} is my {best} {kind}.",
            f"I like {{}} best of <every|any> {kind}.",
            f"The {kind} I <love|like> <most|best> is {{}}.",
            f"<Remember|Note|Keep in mind> that my {best} {kind} is {{}}.",
            f"For me the best {kind} is {{}}.",
            f"my favourite {kind}<:| is> {{}}",
            f"If I had to <choose|pick> a {kind}, it would be {{}}.",
            f"I <really |>love {{}}, it is my {best} {kind}.",
            f"<Just so you know|By the way|You should know>, my {best} {kind} is {{}}.",
            f"No {kind} is <better|nicer> than {{}} for me.",
            f"When it comes to the {kind}, I prefer {{}}.",
        ),
        ask=(
            f"What <is|was> <my|the> <favorite|favourite|best|preferred> {kind}<| of mine| for me>?",
            f"<Which|What> {kind} do I <like|love|enjoy|prefer> <best|most|>?",
            f"<Do|Can> you <remember|recall|know|tell me|say> <my {best} {kind}|which {kind} I <like|love>>?",
            f"<Please tell|Tell|Remind> me <of |>my {best} {kind}.",
            f"<Name|Tell me> the {kind} that I <love|like> most.",
            f"what's my favourite {kind}<?| again?>",
            f"Which {kind} is my {best}?",
            f"Can you <recall|name|tell me> my {best} {kind}?",
            f"Say which {kind} I prefer.",
            f"What was my {best} {kind} again?",
            f"And my {best} {kind}?",
            f"Which {kind} <did I say I like best|do I prefer>?",
        ),
        answer=f"Your favorite {kind} is {{}}.",
    )


def possession(noun: str) -> Topic:
    """Anything that is mine, such as a shoe size or a sister's name."""
    return Topic(
        tell=(
            f"<My|Our> {noun} <is|is|will be|was> {{}}.",
            f"{{}} <is|is|will be> <my|my|the> {noun}<| I have| of mine>.",
            f"<Please |>remember<| that><| this,> my {noun}<:| is> {{}}<.|>",
            f"<By the way|Just so you know|Also|Oh|Fun fact|One thing about me|I want to tell you>, my {noun} is {{}}.",
            f"my {noun}: {{}}",
            f"<Note|Keep in mind|Write down|Save this|Important|For later>: my {noun} is {{}}.",
            f"The {noun} I <have|use|got> is {{}}.",
            f"You <should|must|may want to> know that my {noun} is {{}}.",
            f"<As for my {noun}, it is {{}}|I have {{}} as my {noun}|They gave me {{}} as {noun}>.",
            f"Let me tell you my {noun}: {{}}.",
        ),
        ask=(
            f"<What <is|was> my {noun}|What {noun} do I have|What do I have as my {noun}|What <is|was> the {noun} <again|once more>>?",
            f"<Do|Can> you <remember|recall|think of|look up> <my {noun}|what my {noun} <is|was>|the {noun} I <told you|gave you|have>>?",
            f"<Please |Now |>tell me <my {noun}|what my {noun} is|the {noun}|the {noun} <I mentioned|from before>>.",
            f"<what's|whats> <my|the> {noun}<?| again?| now?>",
            f"Which {noun} did I <tell you|mention|give you>?",
            f"What did I <say|write|tell you|mention> <my|the> {noun} <is|was>?",
            f"<And |And what about |What about |Now |Next: |>my {noun}?",
            f"<Could|Can|Would> you <say|repeat|tell me|name|give me|write> <my|the> {noun}<| again| once more| for me>?",
            f"<I <forgot|lost> my {noun}, what is it|Which one <is|was> my {noun}|Which {noun} <is mine|do I have|was it>|Have I told you my {noun}>?",
            f"Do you <still |>know my {noun}?",
            f"<Remind me <of|about> my {noun}|<Name|Give me|Repeat|Write|State|Say> <my|the> {noun}|I need <my|the> {noun}<| again| now>|I want to know my {noun}>.",
        ),
        answer=f"Your {noun} is {{}}.",
    )
