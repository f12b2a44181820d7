"""The kinds of facts that the memory skill tells and asks for, with the wordings of each."""

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


TOPICS: dict[str, Topic] = {
    "name": Topic(
        tell=(
            "My name is {}.",
            "I'm {}.",
            "Hi, I am {}!",
            "Call me {}.",
            "You can call me {}.",
            "Hello, my name is {}. Nice to meet you.",
            "I am called {}.",
            "{} is my name.",
            "People call me {}.",
            "Hey, {} here.",
            "Hi! My name's {}.",
            "This is {} speaking.",
            "My friends call me {}.",
            "Please remember my name: {}.",
            "name's {}",
        ),
        ask=(
            "What is my name<| again>?",
            "<Who am I|Who is talking to you|Whom are you talking to|Who is writing to you>?",
            "<Do|Did> you <remember|know|recall|note|forget> <my name|who I am|what I am called>?",
            "<What's|Whats|And what is|So what was> my name?",
            "Can you tell me my name?",
            "<Tell me|Write|Give me|Repeat|Type> my name<| again| please>.",
            "<What am I called|What do people call me|How am I called|By which name do you know me>?",
            "<how do you|how should you|how will you|what do you> <call|address|name> me?",
            "<Say|Greet me by|Use|Call me by|Spell> my name.",
            "What did I say my name was?",
            "what is my name",
            "Do you still know who I am?",
            "Remind me, what is my name?",
            "Which name did I tell you?",
            "My name is?",
        ),
        answer="Your name is {}.",
        acknowledge=(
            "Nice to meet you, {}!",
            "Hello, {}!",
            "Hi {}! How can I help?",
            "Pleased to meet you, {}.",
        ),
    ),
    "city": Topic(
        tell=(
            "I live in {}.",
            "I am from {}.",
            "My home is in {}.",
            "I moved to {} last year.",
            "I'm living in {}.",
            "My city is {}.",
            "Right now I live in {}.",
            "I come from {}.",
            "{} is where I live.",
            "I reside in {}.",
        ),
        ask=(
            "<Where do I live|Where am I at home|Where is the place I live>?",
            "<Which|What> <city|town|place> do I <live|stay|reside> in<| now>?",
            "<What|Which> <is my city|city is mine|is my home town|is the city I live in>?",
            "Do you <know|remember|recall> <where I live|my city|the city I live in>?",
            "In which town do I live?",
            "Where is my home?",
            "Tell me where I live.",
            "where am I living?",
            "What city am I in?",
            "Where did I say I live?",
        ),
        answer="You live in {}.",
    ),
    "job": Topic(
        tell=(
            "I work as a {}.",
            "I am a {}.",
            "My job is {}.",
            "I'm a {} by profession.",
            "I earn my money as a {}.",
            "I have been a {} for ten years.",
            "By trade I am a {}.",
            "My profession is {}.",
            "I do the work of a {}.",
            "I got a job as a {}.",
        ),
        ask=(
            "What <is|was> my <job|job again|work|occupation>?",
            "<What|Which work> do I do <for a living|for money|all day at work>?",
            "<What do I work as|As what do I work|How do I earn my money|What am I at work>?",
            "<Which|What> <job|occupation|trade> <do I have|is mine|did I name>?",
            "What is my profession?",
            "Tell me my job.",
            "Do you remember my job?",
            "what's my job?",
            "What kind of work do I do?",
            "What did I say my job is?",
        ),
        answer="You work as a {}.",
    ),
    "age": Topic(
        tell=(
            "I am {} years old.",
            "I'm {} years old.",
            "My age is {}.",
            "I turned {} this year.",
            "I just turned {}.",
            "I have lived {} years.",
            "Last week I became {}.",
            "i am {} years old",
            "At the moment I am {} years old.",
            "My age? I am {}.",
        ),
        ask=(
            "How old am I<| now| again>?",
            "<What is|What was|What's|And> my age?",
            "Do you <know|remember|recall> <how old I am|how many years I have>?",
            "<Tell me|Give me|Name|Repeat|Write> my age<| in years| again|>.",
            "What age am I?",
            "Do you remember my age?",
            "how old am i",
            "My age is what?",
            "Say how old I am.",
            "How old did I say I am?",
        ),
        answer="You are {} years old.",
    ),
    "number": Topic(
        tell=(
            "My lucky number is {}.",
            "Remember the number {}.",
            "The number is {}.",
            "Please keep this number: {}.",
            "Keep the number {} in mind.",
            "My number is {}.",
            "I am thinking of the number {}.",
            "Note the number {}.",
            "Here is a number for you: {}.",
            "Don't forget this number: {}.",
        ),
        ask=(
            "What <is|was> <my|my lucky> number?",
            "<Which|What> number did I <tell you|say|mention|write|ask you to keep>?",
            "What <was|is> the number<| again| I told you| from before>?",
            "<Tell me|Give me|Write|Repeat|I need> the number<| again| please| now>.",
            "Do you remember the number?",
            "What number did I give you?",
            "Say the number again.",
            "What number should you remember?",
            "Which number was it?",
            "the number, please?",
        ),
        answer="The number is {}.",
    ),
    "code": Topic(
        tell=(
            "The code is {}.",
            "Remember this code: {}",
            "My password is {}.",
            "The secret word is {}.",
            "Keep this code for me: {}",
            "The code word is {}.",
            "Note this code: {}",
            "Please remember the code {}.",
            "Here is the code: {}",
            "Don't forget the code {}.",
        ),
        ask=(
            "What <is|was|'s> the <code|code word|secret code|password>?",
            "<Which|What> code did I <give you|tell you|ask you to keep|mention|write>?",
            "<Tell me|Write|Type|I need|Now> the code<| now| please| once more>.",
            "<What was|And|Can you tell me|Could you give me> the code<| again| from before>?",
            "Do you remember the code?",
            "<Give me|Show me|Send me> the code <again|once more|I gave you|you noted>.",
            "<Say|Name|State|Recall> the <code|code again|secret code>.",
            "<the code|code|the code, please|my code>?",
            "Repeat the code <I told you|from before|that you keep>.",
            "What code should you remember?",
        ),
        answer="The code is {}.",
    ),
    "pet_name": Topic(
        tell=(
            "My {animal} is called {}.",
            "I have a {animal} named {}.",
            "The name of my {animal} is {}.",
            "My {animal}'s name is {}.",
            "We have a {animal}, {}.",
            "I own a {animal} called {}.",
            "{} is my {animal}.",
            "There is a {animal} at home, its name is {}.",
            "I got a {animal} and named it {}.",
            "This is my {animal} {}.",
        ),
        ask=(
            "What <is|was> my {animal} called<| again>?",
            "<What|Which> <is|was> the name of <my|the> {animal}?",
            "<What's|What is|Can you tell me|Do you know> my {animal}'s name?",
            "<How is my {animal} called|Do you know what my {animal} is called|Which {animal} name did I say>?",
            "Do you remember my {animal}'s name?",
            "Tell me the name of my {animal}.",
            "Which name does my {animal} have?",
            "what do I call my {animal}?",
            "Who is my {animal}?",
            "What name did I give my {animal}?",
        ),
        answer="Your {animal} is called {}.",
    ),
}
# What one may like best, by the sort of the value.
FAVORITES = {
    "color": "color",
    "food": "food",
    "animal": "animal",
    "hobby": "hobby",
    "month": "month",
    "city": "city",
    "country": "country",
    "language": "language",
    "day": "day",
    "subject": "subject",
    "book": "title",
    "movie": "title",
    "song": "title",
    "game": "word",
    "singer": "person",
    "drink": "word",
    "band": "company",
    "word": "word",
    "writer": "person",
    "sport": "hobby",
}
# What one may have, by the sort of the value.
POSSESSIONS = {
    "person": """boss teacher doctor neighbor roommate dentist lawyer coach manager best_friend husband
        wife landlord sister's_name brother's_name mother's_name father's_name daughter's_name
        son's_name cousin's_name uncle's_name friend's_name last_name""",
    "city": "hometown birthplace next_destination sister's_city office_location holiday_destination",
    "code": "locker_code wifi_password flight_number license_plate room_code ticket_number user_id",
    "count": "shoe_size table_number house_number seat_number floor lap_time team_size",
    "date": "birthday wedding_day deadline exam_date departure_date anniversary",
    "clock": "wake-up_time train_time appointment bedtime lunch_time",
    "word": "project_name team nickname username boat's_name company band street school club",
    "job": "dream_job mother's_job father's_job brother's_job old_job",
    "color": "car_color eye_color hair_color house_color bike_color",
    "email": "email mail_address",
    "phone": "phone_number office_number",
    "animal": "pet spirit_animal",
    "item": "birthday_present gift lucky_charm",
    "price": "budget rent salary",
    "language": "native_language second_language",
    "hobby": "hobby sport",
    "title": "book movie_title",
    "food": "breakfast dinner lunch",
}
SORTS = {kind: FAVORITES[kind] for kind in ("color", "food", "animal", "hobby", "month")}
TOPICS |= {kind: favorite(kind) for kind in SORTS}
for sort, nouns in POSSESSIONS.items():
    for noun in (word.replace("_", " ") for word in nouns.split()):
        SORTS[noun] = sort
        TOPICS[noun] = possession(noun)
for kind, sort in FAVORITES.items():
    SORTS["favorite " + kind] = sort
    TOPICS["favorite " + kind] = favorite(kind)
SORTS["job"] = "job"
