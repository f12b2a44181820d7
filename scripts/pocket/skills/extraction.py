"""Extraction: one or two sentences in, a JSON object with the asked keys out.

A record is drawn first; sentences state some of its fields in any order, and the request asks
for a subset of the keys. Sentence forms, request phrasings and values are split by `share`.
"""

import json
import random

from scripts.pocket import words
from scripts.pocket.dialogue import Dialogue, Split, assistant, pick, user

ASK = (
    "Extract {keys} as JSON: {text}",
    "Extract {keys} from this text as JSON.\n{text}",
    "{text}\nExtract {keys} as JSON.",
    "Give me a JSON object with the keys {keys}. {text}",
    "Return JSON with {keys}: {text}",
    "Make JSON with the keys {keys} from: {text}",
    "{text}\n\nReturn a JSON object with {keys}.",
    "Read this and answer in JSON ({keys}): {text}",
    "Text: {text}\nKeys: {keys}\nJSON:",
    "Find {keys} in the text and write JSON.\nText: {text}",
    "Turn this into JSON with the fields {keys}: {text}",
    "Parse to JSON, keys {keys}: {text}",
    "From the sentence below, fill a JSON object with {keys}.\n\n{text}",
    "Please extract {keys} and reply with JSON only.\n\n{text}",
    "JSON with {keys}, please: {text}",
    "What are {keys} here? Answer as JSON. {text}",
    "Convert to JSON ({keys}):\n{text}",
    'I need {keys} as a JSON object from this message: "{text}"',
    "Pull out {keys} and format them as JSON: {text}",
    "Write {keys} as JSON.\n{text}",
)
# Each form names the keys it states; a key appears in several forms with other words.
FORMS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("name", "age"): (
        "{name} is {age} years old.",
        "My name is {name} and I am {age}.",
        "{name}, {age}, is here.",
        "{name} turned {age} last week.",
        "{name} is {age}.",
        "The age of {name} is {age}.",
        "Her name is {name}; she is {age} years old.",
        "Meet {name}, aged {age}.",
        "{name} just had birthday number {age}.",
        "This is {name}, who is {age}.",
    ),
    ("name", "city"): (
        "{name} lives in {city}.",
        "{name} comes from {city}.",
        "I am {name} from {city}.",
        "{name} moved to {city}.",
        "Our friend {name} has a home in {city}.",
        "{city} is where {name} lives.",
        "{name} was born in {city}.",
        "In {city} lives a person called {name}.",
        "{name} is staying in {city}.",
        "You can meet {name} in {city}.",
    ),
    ("name", "job"): (
        "{name} works as a {job}.",
        "{name} is a {job}.",
        "The {job} is called {name}.",
        "{name} got a job as a {job}.",
        "I spoke to {name}, the {job}.",
        "Our {job}, {name}, is back.",
        "{name} earns money as a {job}.",
        "{name} has been a {job} for years.",
        "A {job} named {name} called.",
        "The new {job} here is {name}.",
    ),
    ("name", "age", "city"): (
        "{name}, {age}, lives in {city}.",
        "{name} is {age} years old and lives in {city}.",
        "I am {name}, {age} years old, from {city}.",
        "At {age}, {name} moved to {city}.",
        "{name} from {city} is {age} years old.",
        "In {city} I met {name}, who is {age}.",
        "My name is {name}, I live in {city} and I am {age}.",
        "{name} ({age}) comes from {city}.",
        "The {age}-year-old {name} lives in {city}.",
        "{name} is {age} and was born in {city}.",
    ),
    ("name", "job", "city"): (
        "{name} is a {job} from {city}.",
        "{name} works as a {job} in {city}.",
        "In {city}, {name} found work as a {job}.",
        "The {job} {name} lives in {city}.",
        "{name}, a {job}, moved to {city}.",
        "A {job} named {name} came from {city}.",
        "{city} has a good {job}: {name}.",
        "I know {name}, a {job} in {city}.",
        "{name} left {city} to become a {job}.",
        "Our {job} in {city} is {name}.",
    ),
    ("item", "quantity"): (
        "I would like {quantity} pieces of {item}.",
        "Please send {quantity} x {item}.",
        "We need {quantity} of the {item}.",
        "Order: {item}, quantity {quantity}.",
        "The order is for {quantity} units of {item}.",
        "Add {quantity} {item} to the cart.",
        "There are {quantity} {item} in stock.",
        "Give me {quantity} {item}.",
        "We sold {quantity} {item} today.",
        "{quantity} {item} arrived.",
    ),
    ("item", "price"): (
        "The {item} costs {price} dollars.",
        "A {item} is {price} euros.",
        "I paid {price} for the {item}.",
        "The price of the {item} is {price}.",
        "{item}: {price} dollars.",
        "You can buy the {item} for {price}.",
        "They ask {price} for a {item}.",
        "The {item} is on sale for {price} dollars.",
        "That {item} was {price} euros.",
        "One {item} sells at {price}.",
    ),
    ("item", "color"): (
        "The {item} is {color}.",
        "I want a {color} {item}.",
        "She has a {color} {item}.",
        "It is a {item} in {color}.",
        "A {color} {item} stands there.",
        "He painted the {item} {color}.",
        "We found a {color} {item}.",
        "My {item} has the color {color}.",
        "The color of the {item} is {color}.",
        "They sell the {item} in {color}.",
    ),
    ("item", "color", "price"): (
        "The {color} {item} costs {price} dollars.",
        "A {item} in {color} is {price} euros.",
        "I paid {price} for a {color} {item}.",
        "We sell the {item}, {color}, for {price}.",
        "{price} dollars buys a {color} {item}.",
        "The {item} is {color} and costs {price}.",
        "She bought a {color} {item} for {price} euros.",
        "For {price} you get the {color} {item}.",
        "My {color} {item} was {price} dollars.",
        "One {color} {item}: {price}.",
    ),
    ("name", "item", "quantity"): (
        "{name} bought {quantity} {item}.",
        "{name} ordered {quantity} pieces of {item}.",
        "{quantity} {item} for {name}, please.",
        "We sent {quantity} {item} to {name}.",
        "{name} wants {quantity} of the {item}.",
        "Customer {name} needs {quantity} {item}.",
        "Please ship {quantity} {item} to {name}.",
        "{name} asked for {quantity} {item}.",
        "{name} took {quantity} {item} home.",
        "An order by {name}: {quantity} {item}.",
    ),
    ("day", "time"): (
        "The meeting is on {day} at {time}.",
        "See you {day} at {time}.",
        "We start at {time} on {day}.",
        "On {day} we meet at {time}.",
        "It begins {day}, {time}.",
        "The train leaves {day} at {time}.",
        "The doctor can see you on {day} at {time}.",
        "{day} at {time} works for me.",
        "Let us talk on {day} at {time}.",
        "The show is {day} at {time}.",
    ),
    ("name", "day", "time"): (
        "{name} will come on {day} at {time}.",
        "Meet {name} on {day} at {time}.",
        "I have a call with {name} at {time} on {day}.",
        "Lunch with {name} is {day} at {time}.",
        "{name} arrives {day}, {time}.",
        "{day}, {time}: dinner with {name}.",
        "{name} booked {day} at {time}.",
        "Please tell {name} to be here {day} at {time}.",
        "On {day} at {time}, {name} gives a talk.",
        "{name} has a lesson on {day} at {time}.",
    ),
    ("email", "name"): (
        "Write to {name} at {email}.",
        "{name} can be reached at {email}.",
        "{name}: {email}",
        "The address of {name} is {email}.",
        "Please mail {name} ({email}).",
        "I am {name}, mail me at {email}.",
        "Contact {name}, {email}.",
        "Send the file to {email}, that is {name}.",
        "{email} belongs to {name}.",
        "{name} uses the address {email}.",
    ),
    ("title", "author"): (
        "{title} was written by {author}.",
        "{author} wrote {title}.",
        "I am reading {title} by {author}.",
        "The book {title} is by {author}.",
        "{author} is the author of {title}.",
        "My favorite book is {title} by {author}.",
        "{title}, a novel by {author}, is out.",
        "The title is {title} and the author is {author}.",
        "{author} published {title}.",
        "We discussed {title}, which {author} wrote.",
    ),
    ("from", "to"): (
        "I want to fly from {from} to {to}.",
        "The train goes from {from} to {to}.",
        "We drive to {to} from {from}.",
        "She travels from {from} to {to}.",
        "Start: {from}. Goal: {to}.",
        "A ticket from {from} to {to}, please.",
        "He left {from} and went to {to}.",
        "The bus from {from} arrives in {to}.",
        "Book me a trip to {to}, leaving from {from}.",
        "They walked from {from} to {to}.",
    ),
    ("id", "status"): (
        "Order {id} is {status}.",
        "The status of ticket {id} is {status}.",
        "Case {id}: {status}.",
        "Your request {id} was {status}.",
        "Task {id} has been {status}.",
        "Number {id} is now {status}.",
        "We marked {id} as {status}.",
        "The parcel {id} is {status}.",
        "Please note that {id} is {status}.",
        "Job {id} ended; it is {status}.",
    ),
}
STATUS = "open closed shipped done cancelled paid pending delivered rejected approved lost".split()
FILLERS = (
    "",
    "",
    "",
    "",
    "Hello! ",
    "Hi, ",
    "The weather is nice. ",
    "Thanks for your help. ",
    "By the way: ",
    "As you know, ",
    "Good news! ",
    "It rained all day. ",
    "I hope you are well. ",
    "Note: ",
)


def title(rng: random.Random, split: Split) -> str:
    pairs = [rng.choice(words.COMMON).capitalize(), pick(rng, words.ITEMS, split).capitalize()]
    return rng.choice(("The {1}", "{0} {1}", "The {0} {1}", "A {1}")).format(*pairs)


def value(key: str, rng: random.Random, split: Split) -> str | int:
    if key in ("age", "quantity", "price"):
        return int(words.number(rng, split, 2, {"age": 99, "quantity": 60, "price": 900}[key]))
    if key in ("name", "author"):
        last = " " + words.new_name(rng, split) if rng.random() < 0.35 else ""
        return words.person(rng, split) + last
    if key == "time":
        return f"{rng.randint(7, 22)}:{rng.choice(('00', '15', '30', '45', '10', '20'))}"
    if key == "email":
        return f"{words.person(rng, split).lower()}@{words.new_word(rng, split)}.{rng.choice(('com', 'org', 'net'))}"
    if key == "id":
        return words.new_code(rng, split)
    if key == "title":
        return title(rng, split)
    if key in ("city", "from", "to"):
        return words.city(rng, split)
    lists: dict[str, list[str]] = {
        "day": words.DAYS,
        "job": words.JOBS,
        "color": words.COLORS,
        "item": words.ITEMS,
        "status": STATUS,
    }
    return words.one_of(rng, lists[key], split)


def list_keys(rng: random.Random, keys: list[str]) -> str:
    quote = rng.choice(("", "", '"', "`"))
    quoted = [quote + k + quote for k in keys]
    return words.join_and(quoted) if rng.random() < 0.6 else ", ".join(quoted)


def make_dialogue(rng: random.Random, split: Split) -> Dialogue:
    keys = rng.choice(list(FORMS))
    record = {key: value(key, rng, split) for key in keys}
    text = pick(rng, FORMS[keys], split).format(**record)
    extra = rng.choice([k for k in FORMS if not set(k) & set(keys)])
    if rng.random() < 0.35:
        more = {key: value(key, rng, split) for key in extra}
        record |= more
        other = pick(rng, FORMS[extra], split).format(**more)
        text = f"{text} {other}" if rng.random() < 0.5 else f"{other} {text}"
    text = rng.choice(FILLERS) + text
    asked = rng.sample(
        list(record), rng.randint(1 if rng.random() < 0.25 else 2, min(4, len(record)))
    )
    wanted = {key: record[key] for key in asked}
    question = pick(rng, ASK, split).format(keys=list_keys(rng, asked), text=text)
    return Dialogue(
        [user(question), assistant(json.dumps(wanted, ensure_ascii=False))], check="json"
    )
