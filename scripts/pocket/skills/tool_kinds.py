"""The kinds of tools that the tool skill draws from: names, parameters, requests, results."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from scripts.pocket import words
from scripts.pocket.dialogue import Split, pick
from scripts.pocket.skills import copying

Value = str | int | bool
Make = Callable[[random.Random, Split], str]


@dataclass(frozen=True)
class Parameter:
    """One argument: the slot of the request that it fills and how its value is drawn."""

    slot: str
    type: str
    names: tuple[str, ...]
    make: Make
    description: str = ""
    choices: tuple[str, ...] = ()
    name: str = ""

    def draw(self, rng: random.Random, split: Split) -> tuple[Value, str]:
        """A value for the call and its words in the request."""
        if self.choices:
            value = rng.choice(self.choices)
            return value, value
        text = self.make(rng, split)
        if self.type == "boolean":
            return text == "on", text
        return (int(text), text) if self.type in ("integer", "number") else (text, text)

    def say(self, value: Value) -> str:
        if isinstance(value, bool):
            return "on" if value else "off"
        return str(value)


@dataclass(frozen=True)
class Kind:
    """A family of tools; kinds of one `group` are near enough that one may do the other's work."""

    group: str
    names: tuple[str, ...]
    descriptions: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    requests: tuple[str, ...]
    nouns: tuple[str, ...] = ()
    result: tuple[str, Make, str] | None = None


def integer(low: int, high: int) -> Make:
    return lambda rng, split: words.number(rng, split, low, high)


def from_list(items: list[str]) -> Make:
    return lambda rng, split: pick(rng, items, split)


def phrase(rng: random.Random, split: Split) -> str:
    """Two to six words to search for or to write down."""
    pool = (
        lambda: rng.choice(words.COMMON),
        lambda: words.thing(rng, split),
        lambda: words.new_word(rng, split),
    )
    return " ".join(rng.choice(pool)() for _ in range(rng.randint(1, 5)))


def clock(rng: random.Random, _: Split) -> str:
    return f"{rng.randint(0, 23):02}:{rng.choice(('00', '05', '10', '15', '20', '30', '40', '45', '50'))}"


def file_name(rng: random.Random, split: Split) -> str:
    return f"{words.new_word(rng, split)}.{rng.choice(('txt', 'md', 'py', 'csv', 'json', 'log'))}"


def on_off(rng: random.Random, _: Split) -> str:
    return rng.choice(("on", "off"))


def no_value(_: random.Random, __: Split) -> str:
    raise AssertionError("a parameter with choices draws from them")


CITY = Parameter(
    "city",
    "string",
    ("city", "location", "town", "where", "place", "city_name"),
    words.city,
    "The city",
)
PERSON = Parameter(
    "person",
    "string",
    ("to", "name", "recipient", "person", "who", "contact"),
    words.person,
    "The person",
)
TEXT = Parameter(
    "text", "string", ("text", "message", "content", "body", "note", "words"), phrase, "The text"
)
QUERY = Parameter(
    "text",
    "string",
    ("query", "q", "search", "term", "keywords", "question"),
    phrase,
    "What to look for",
)
MINUTES = Parameter(
    "minutes",
    "integer",
    ("minutes", "duration", "length", "min", "time_minutes", "delay"),
    integer(1, 90),
    "Minutes",
)
TIME = Parameter(
    "time", "string", ("time", "at", "when", "hour", "start", "clock_time"), clock, "Time as HH:MM"
)
FILE = Parameter(
    "file",
    "string",
    ("path", "file", "filename", "name", "target", "document"),
    file_name,
    "The file",
)
COUNT = Parameter(
    "count",
    "integer",
    ("count", "quantity", "amount", "number", "how_many", "n"),
    integer(2, 80),
    "How many",
)
LEVEL = Parameter(
    "level",
    "integer",
    ("level", "value", "percent", "volume", "setting", "strength"),
    integer(0, 100),
    "From 0 to 100",
)
ITEM = Parameter(
    "item",
    "string",
    ("item", "product", "article", "thing", "object", "goods"),
    words.thing,
    "The item",
)
SWITCH = Parameter(
    "state",
    "boolean",
    ("on", "enabled", "active", "state", "turn_on", "power"),
    on_off,
    "true for on",
)
DAY = Parameter(
    "day",
    "string",
    ("day", "weekday", "date", "on_day", "which_day", "day_name"),
    from_list(words.DAYS),
    "The day",
)
UNIT = Parameter(
    "unit",
    "string",
    ("unit", "units", "scale", "system", "measure", "in_unit"),
    no_value,
    "",
    ("celsius", "fahrenheit", "kelvin"),
)
LANGUAGE = Parameter(
    "language",
    "string",
    ("language", "lang", "target", "to_language", "into", "tongue"),
    no_value,
    "",
    ("french", "german", "spanish", "italian", "dutch", "polish", "greek"),
)
PRIORITY = Parameter(
    "priority",
    "string",
    ("priority", "urgency", "importance", "rank", "weight", "class"),
    no_value,
    "",
    ("low", "normal", "high", "urgent"),
)
COLOR = Parameter(
    "color",
    "string",
    ("color", "colour", "hue", "shade", "tint", "paint"),
    from_list(words.COLORS),
    "The color",
)
FIRST = Parameter("a", "number", ("a", "x", "first", "left", "num1", "one"), integer(0, 500))
SECOND = Parameter("b", "number", ("b", "y", "second", "right", "num2", "other"), integer(0, 500))

ROOMS = (
    "kitchen bedroom bathroom garage hall office garden cellar balcony attic lounge porch".split()
)
DEVICES = (
    "lamp",
    "heater",
    "fan",
    "radio",
    "light",
    "alarm",
    "sprinkler",
    "oven",
    "pump",
    "camera",
    "door lock",
    "air purifier",
)

KINDS = (
    Kind(
        "weather",
        (
            "get_weather",
            "weather",
            "weather_now",
            "current_weather",
            "forecast",
            "check_weather",
            "weather_report",
        ),
        (
            "Get the weather of a city",
            "Weather now",
            "Current weather",
            "Looks up the weather",
            "Tells how the weather is",
        ),
        (CITY,),
        (
            "What is the weather in {city}?",
            "How is the weather in {city}?",
            "Is it raining in {city}?",
            "Tell me the weather in {city}.",
            "Weather in {city}, please.",
            "Do I need an umbrella in {city}?",
            "Check the weather for {city}.",
            "weather {city}",
            "Will it be sunny in {city}?",
            "What's it like outside in {city}?",
            "How warm is it in {city}?",
            "Give me the forecast for {city}.",
            "I am going to {city}, how is the weather?",
            "Does it snow in {city}?",
            "Can you look up the weather in {city}?",
        ),
        result=(
            "weather",
            from_list("sunny rainy cloudy windy snowy foggy stormy clear cold warm".split()),
            "The weather in {city} is {value}.",
        ),
    ),
    Kind(
        "weather",
        ("get_temperature", "temperature", "read_temperature", "city_temperature", "temp"),
        (
            "Get the temperature of a city in a unit",
            "Temperature now",
            "Reads the temperature",
            "How warm it is",
            "Degrees in a city",
        ),
        (CITY, UNIT),
        (
            "What is the temperature in {city} in {unit}?",
            "How many degrees {unit} is it in {city}?",
            "Temperature in {city} in {unit}, please.",
            "Give me the {unit} temperature of {city}.",
            "Tell me how hot {city} is in {unit}.",
            "How warm is {city}? Use {unit}.",
            "In {unit}, how cold is it in {city}?",
            "Check the temperature for {city} in {unit}.",
            "temperature {city} {unit}",
            "I want the temperature of {city} in {unit}.",
        ),
        result=("temperature", integer(1, 40), "It is {value} degrees {unit} in {city}."),
    ),
    Kind(
        "message",
        (
            "send_message",
            "message",
            "send_text",
            "text_person",
            "send_sms",
            "write_message",
            "send_chat",
        ),
        (
            "Send a message to a person",
            "Sends a text",
            "Message someone",
            "Write to a contact",
            "Delivers a short message",
        ),
        (PERSON, TEXT),
        (
            "Send {person} the message: {text}",
            "Tell {person}: {text}",
            "Write {person} a message that says {text}",
            "Message {person} with {text}",
            "Text {person}: {text}",
            "Send a message to {person} saying {text}",
            "Let {person} know: {text}",
            "Please write to {person}: {text}",
            'Send "{text}" to {person}.',
            'Text "{text}" to {person}.',
            "I want to send {person} this: {text}",
            'Tell {person} "{text}".',
            "Drop {person} a line: {text}",
            'Say "{text}" to {person}.',
            "message to {person}: {text}",
        ),
    ),
    Kind(
        "call",
        ("call_person", "phone", "make_call", "dial", "start_call", "ring", "call"),
        (
            "Call a person",
            "Phone someone",
            "Starts a phone call",
            "Dials a contact",
            "Rings a person",
        ),
        (PERSON,),
        (
            "Call {person}.",
            "Phone {person}, please.",
            "Give {person} a call.",
            "I want to talk to {person} on the phone.",
            "Ring {person}.",
            "Dial {person}.",
            "Please call {person} for me.",
            "Start a call with {person}.",
            "Can you phone {person}?",
            "Get {person} on the line.",
        ),
    ),
    Kind(
        "timer",
        (
            "set_timer",
            "timer",
            "start_timer",
            "countdown",
            "new_timer",
            "begin_timer",
            "timer_start",
        ),
        (
            "Start a timer",
            "Sets a timer of some minutes",
            "Countdown",
            "Begins a countdown",
            "Rings after some minutes",
        ),
        (MINUTES,),
        (
            "Set a timer for {minutes} minutes.",
            "Start a {minutes} minute timer.",
            "Timer {minutes} minutes, please.",
            "Wake me in {minutes} minutes.",
            "Count down {minutes} minutes.",
            "I need a timer of {minutes} minutes.",
            "Ring in {minutes} minutes.",
            "Tell me when {minutes} minutes are over.",
            "Begin a countdown of {minutes} minutes.",
            "Let me know after {minutes} minutes.",
            "timer for {minutes} min",
            "Put {minutes} minutes on the clock.",
        ),
    ),
    Kind(
        "alarm",
        ("set_alarm", "alarm", "add_alarm", "wake_up", "alarm_at"),
        (
            "Set an alarm",
            "Alarm at a time",
            "Wakes the user",
            "Adds an alarm",
            "An alarm for a time",
        ),
        (TIME,),
        (
            "Set an alarm for {time}.",
            "Wake me up at {time}.",
            "Alarm at {time}, please.",
            "I must get up at {time}.",
            "Ring the alarm at {time}.",
            "Please wake me at {time}.",
            "New alarm: {time}.",
            "I need an alarm at {time}.",
            "Add an alarm for {time}.",
            "Make sure I am awake at {time}.",
        ),
    ),
    Kind(
        "reminder",
        ("add_reminder", "remind", "create_reminder", "reminder", "set_reminder"),
        (
            "Remind the user of something",
            "Adds a reminder",
            "A reminder with text and time",
            "Reminds later",
            "Stores a reminder",
        ),
        (TEXT, TIME),
        (
            "Remind me at {time}: {text}",
            "Add a reminder for {time}: {text}",
            "At {time} remind me of {text}.",
            "Set a reminder at {time} with the text {text}",
            'Remind me of "{text}" at {time}.',
            "Reminder {time}: {text}",
            'At {time}, remind me: "{text}"',
            "Please remind me at {time}: {text}",
            "I should not forget {text} at {time}.",
            'Make a reminder "{text}" for {time}.',
        ),
    ),
    Kind(
        "search",
        (
            "web_search",
            "search",
            "search_web",
            "find_online",
            "lookup",
            "search_{noun}",
            "find_{noun}",
            "query_{noun}",
            "{noun}_search",
            "browse_{noun}",
        ),
        (
            "Search for something",
            "Searches the {noun}",
            "Find in {noun}",
            "Looks something up",
            "Search the {noun} for words",
        ),
        (QUERY,),
        (
            "Search for {text}.",
            "Look up {text}.",
            'Search for "{text}".',
            "Find {text}, please.",
            "Search: {text}",
            'Look for "{text}".',
            "I want to find {text}.",
            "Can you search for {text}?",
            'Please look up "{text}".',
            "Find me something on {text}.",
            "Do a search for {text}.",
            "google {text}",
            "Query: {text}",
            'Find out about "{text}".',
            "See what there is on {text}.",
        ),
        nouns=(
            "web",
            "news",
            "library",
            "shop",
            "archive",
            "catalog",
            "docs",
            "wiki",
            "internet",
            "database",
            "notes",
            "mail",
        ),
        result=("result", from_list(words.ITEMS), "I found: {value}"),
    ),
    Kind(
        "switch",
        (
            "switch_{noun}",
            "set_{noun}",
            "toggle_{noun}",
            "{noun}_power",
            "control_{noun}",
            "{noun}_switch",
            "turn_{noun}",
        ),
        (
            "Switch the {noun} on or off",
            "Turns the {noun} on or off",
            "Control the {noun}",
            "Power of the {noun}",
            "{noun} on or off",
        ),
        (SWITCH,),
        (
            "Turn the {noun} {state}.",
            "Switch {state} the {noun}.",
            "Turn {state} the {noun}.",
            "Please switch the {noun} {state}.",
            "Can you turn the {noun} {state}?",
            "The {noun} should be {state}.",
            "I want the {noun} {state}.",
            "{noun} {state}",
            "Put the {noun} {state}.",
            "Make sure the {noun} is {state}.",
        ),
        nouns=DEVICES,
    ),
    Kind(
        "level",
        (
            "set_{noun}",
            "{noun}_level",
            "change_{noun}",
            "adjust_{noun}",
            "{noun}_control",
            "update_{noun}",
        ),
        (
            "Set the {noun}",
            "Changes the {noun}",
            "Adjust the {noun} from 0 to 100",
            "Control the {noun}",
            "Level of the {noun}",
        ),
        (LEVEL,),
        (
            "Set the {noun} to {level}.",
            "Change the {noun} to {level}.",
            "Put the {noun} at {level}.",
            "{noun} {level}, please.",
            "I want the {noun} at {level}.",
            "Make the {noun} {level}.",
            "Adjust {noun} to {level} percent.",
            "Set {noun} {level}",
            "Could you set the {noun} to {level} percent?",
            "Bring the {noun} to {level}.",
        ),
        nouns=(
            "volume",
            "brightness",
            "contrast",
            "speed",
            "heating",
            "zoom",
            "bass",
            "humidity",
            "power",
            "opacity",
            "pressure",
            "gain",
        ),
    ),
    Kind(
        "room",
        (
            "set_light_color",
            "light_color",
            "room_color",
            "color_light",
            "paint_light",
            "change_light",
        ),
        (
            "Set the color of the light in a room",
            "Light color",
            "Colors a room's light",
            "Change the light",
            "Tint the lamps of a room",
        ),
        (
            Parameter(
                "room",
                "string",
                ("room", "where", "place", "area", "zone"),
                from_list(ROOMS),
                "The room",
            ),
            COLOR,
        ),
        (
            "Make the {room} light {color}.",
            "Set the light in the {room} to {color}.",
            "I want {color} light in the {room}.",
            "Turn the {room} {color}.",
            "Change the color of the {room} light to {color}.",
            "{color} light in the {room}, please.",
            "Light the {room} in {color}.",
            "Give the {room} a {color} light.",
            "The {room} should glow {color}.",
            "Switch the {room} lamps to {color}.",
        ),
    ),
    Kind(
        "read",
        ("read_file", "open_file", "show_file", "cat", "get_file", "view_file", "load_document"),
        (
            "Read a file",
            "Opens a file",
            "Shows the content of a file",
            "Returns the text of a file",
            "Display a file",
        ),
        (FILE,),
        (
            "Open {file}.",
            "Read the file {file}.",
            "Show me {file}.",
            "What is in {file}?",
            "Please open the file {file}.",
            "Display {file}.",
            "Let me see {file}.",
            "Print the file {file}.",
            "I want to read {file}.",
            "Look into {file}.",
        ),
        result=("content", words.new_word, "The file {file} contains: {value}"),
    ),
    Kind(
        "delete",
        ("delete_file", "remove_file", "erase", "rm_file", "trash", "discard_file"),
        (
            "Delete a file",
            "Removes a file",
            "Erase a file",
            "Throws a file away",
            "Deletes a document",
        ),
        (FILE,),
        (
            "Delete {file}.",
            "Remove the file {file}.",
            "Erase {file}.",
            "Please delete the file {file}.",
            "Get rid of {file}.",
            "Throw {file} away.",
            "I no longer need {file}, delete it.",
            "Trash {file}.",
            "Can you remove {file}?",
            "Wipe {file}.",
        ),
    ),
    Kind(
        "order",
        (
            "order_item",
            "buy",
            "add_to_cart",
            "order_{noun}",
            "purchase",
            "place_order",
            "buy_{noun}",
        ),
        (
            "Order an item",
            "Buys things",
            "Add items to the cart",
            "Order from the {noun}",
            "Purchase goods",
        ),
        (ITEM, COUNT),
        (
            "Order {count} {item}.",
            "Buy {count} {item}.",
            "I need {count} {item}.",
            "Add {count} {item} to my cart.",
            "Please order {count} pieces of {item}.",
            "Get me {count} {item}.",
            "Purchase {item}, {count} pieces.",
            "I would like to buy {count} {item}.",
            "{count} {item}, please.",
            "Put {count} {item} in the cart.",
        ),
        nouns=("shop", "store", "market", "warehouse", "bakery", "pharmacy"),
    ),
    Kind(
        "price",
        ("get_price", "price", "price_of", "check_price", "product_price", "cost"),
        (
            "Get the price of a product",
            "Price of an item",
            "What something costs",
            "Looks up a price",
            "Cost of goods",
        ),
        (ITEM,),
        (
            "How much is the {item}?",
            "What does the {item} cost?",
            "Price of {item}?",
            "Tell me the price of the {item}.",
            "What is the price of a {item}?",
            "How expensive is the {item}?",
            "Check the price of {item}.",
            "What do I pay for the {item}?",
            "price {item}",
            "Is the {item} cheap? Look up its price.",
        ),
        result=("price", integer(1, 500), "The {item} costs {value}."),
    ),
    Kind(
        "translate",
        (
            "translate",
            "translate_text",
            "translator",
            "to_language",
            "convert_language",
            "translation",
        ),
        (
            "Translate text",
            "Translates words",
            "Into another language",
            "Translate to a language",
            "Language translation",
        ),
        (TEXT, LANGUAGE),
        (
            "Translate {text} to {language}.",
            'Translate "{text}" into {language}.',
            "How do you say {text} in {language}?",
            'What is "{text}" in {language}?',
            "Put {text} into {language}.",
            "Translate to {language}: {text}",
            "In {language}, please: {text}",
            'Say "{text}" in {language}.',
            "{language} for {text}?",
            'Give me the {language} translation of "{text}".',
        ),
        result=("translation", words.new_word, "{value}"),
    ),
    Kind(
        "book",
        (
            "book_{noun}",
            "reserve_{noun}",
            "{noun}_booking",
            "make_{noun}_reservation",
            "get_{noun}",
            "schedule_{noun}",
        ),
        (
            "Book a {noun}",
            "Reserve a {noun}",
            "{noun} reservation",
            "Makes a booking",
            "Books a {noun} for a day",
        ),
        (CITY, DAY),
        (
            "Book a {noun} in {city} on {day}.",
            "I need a {noun} in {city} for {day}.",
            "Reserve a {noun} for {day} in {city}.",
            "Get me a {noun} in {city} on {day}.",
            "On {day} I want a {noun} in {city}.",
            "Please book a {noun} for {day}, in {city}.",
            "{noun} in {city}, {day}, please.",
            "Can you reserve a {noun} in {city} on {day}?",
            "For {day}, find me a {noun} in {city}.",
            "I would like a {noun} in {city} this {day}.",
        ),
        nouns=("hotel", "table", "taxi", "room", "car", "tour", "desk", "guide", "court", "boat"),
    ),
    Kind(
        "task",
        ("create_task", "add_task", "new_todo", "add_todo", "task", "make_ticket", "open_ticket"),
        (
            "Create a task",
            "Adds a to-do",
            "New task with a priority",
            "Makes a ticket",
            "Puts a task on the list",
        ),
        (TEXT, PRIORITY),
        (
            "Create a {priority} priority task: {text}",
            "Add a task with {priority} priority: {text}",
            "New {priority} task: {text}",
            'Add "{text}" as a {priority} task.',
            "Task ({priority}): {text}",
            'Put "{text}" on my list, priority {priority}.',
            "I have a {priority} task: {text}",
            'Make a task "{text}" with {priority} priority.',
            "To do, {priority}: {text}",
            'Please note the {priority} task "{text}".',
        ),
    ),
    Kind(
        "math",
        ("{noun}", "{noun}_numbers", "calc_{noun}", "do_{noun}", "math_{noun}"),
        (
            "{noun} two numbers",
            "Can {noun} numbers",
            "Calculator: {noun}",
            "Math: {noun}",
            "To {noun} a pair of numbers",
        ),
        (FIRST, SECOND),
        (
            "Please {noun} {a} and {b}.",
            "{noun} {a} and {b}",
            "Can you {noun} {a} and {b}?",
            "I want to {noun} {a} and {b}.",
            "Use the tool to {noun} {a} and {b}.",
            "{noun} these numbers: {a}, {b}",
            "Would you {noun} {a} and {b}?",
            "Let us {noun} {a} and {b}.",
            "{noun} {a} with {b}.",
            "Take {a} and {b} and {noun} them.",
        ),
        nouns=("add", "multiply", "compare", "average", "sum", "combine", "subtract", "divide"),
        result=("result", integer(0, 999), "The result is {value}."),
    ),
    Kind(
        "play",
        (
            "play_{noun}",
            "start_{noun}",
            "{noun}_player",
            "stream_{noun}",
            "listen_{noun}",
            "queue_{noun}",
        ),
        (
            "Play a {noun}",
            "Plays {noun} by name",
            "Starts a {noun}",
            "{noun} player",
            "Listen to a {noun}",
        ),
        (
            Parameter(
                "text",
                "string",
                ("title", "name", "track", "what", "piece"),
                copying.word,
                "What to play",
            ),
        ),
        (
            "Play the {noun} {text}.",
            "Put {text} on.",
            "I want to hear the {noun} {text}.",
            "Start the {noun} {text}.",
            'Play "{text}".',
            "Put on {text}.",
            "Let me listen to {text}.",
            "Can you play the {noun} {text}?",
            'Please start "{text}".',
            "Start playing {text}.",
        ),
        nouns=(
            "song",
            "album",
            "podcast",
            "video",
            "movie",
            "playlist",
            "record",
            "tune",
            "show",
            "radio",
        ),
    ),
    Kind(
        "contact",
        ("get_{noun}", "find_{noun}", "lookup_{noun}", "{noun}_of", "read_{noun}", "fetch_{noun}"),
        (
            "Get the {noun} of a person",
            "{noun} of a contact",
            "Looks up the {noun}",
            "Finds someone's {noun}",
            "Person to {noun}",
        ),
        (PERSON,),
        (
            "What is the {noun} of {person}?",
            "Give me the {noun} of {person}.",
            "Find {person}'s {noun}.",
            "I need the {noun} of {person}.",
            "Look up the {noun} of {person}.",
            "Tell me {person}'s {noun}.",
            "What's {person}'s {noun}?",
            "Do you have the {noun} of {person}?",
            "{noun} of {person}, please.",
            "Get {person}'s {noun}.",
        ),
        nouns=(
            "email",
            "phone number",
            "address",
            "birthday",
            "job",
            "age",
            "salary",
            "office",
            "manager",
            "team",
        ),
        result=("value", words.new_code, "The {noun} of {person} is {value}."),
    ),
)
