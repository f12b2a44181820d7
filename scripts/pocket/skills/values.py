"""Values that texts and requests carry, each as it is said and as JSON holds it."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scripts.pocket import words
from scripts.pocket.dialogue import Split

Json = str | int | float | bool | list[str] | None


@dataclass(frozen=True)
class Value:
    """`said` in prose, `meant` in JSON."""

    said: str
    meant: Json


Make = Callable[[random.Random, Split], Value]

COUNTRIES = """France Spain Italy Peru Chile Kenya Ghana Egypt Japan China India Brazil Canada Mexico
Norway Sweden Finland Poland Greece Turkey Vietnam Thailand Cuba Iceland Ireland Portugal Austria
Hungary Nepal Morocco""".split()
LANGUAGES = """French German Spanish Italian Dutch Polish Greek Turkish Arabic Japanese Korean Hindi
Latin Russian Swedish Danish Finnish Czech Chinese Portuguese""".split()
STATUSES = """open closed shipped done cancelled paid pending delivered rejected approved lost active
blocked ready late delayed confirmed broken new finished""".split()
ROOMS = """kitchen bedroom bathroom garage hall office garden cellar balcony attic lounge porch
basement nursery hallway library studio pantry""".split()
MATERIALS = "wood steel glass paper leather cotton silk wool plastic stone copper clay".split()
SKIES = "sunny rainy cloudy windy snowy foggy stormy clear cold warm".split()
SUBJECTS = """physics history math biology music geography chemistry art economics sociology
programming grammar""".split()
TEAMS = """sales support finance marketing research design legal security logistics training quality
purchasing""".split()
SIZES = "small medium large tiny huge XL XS L M S".split()
ENDINGS = ("com", "org", "net", "io", "de", "co")
FILE_TYPES = ("txt", "md", "py", "csv", "json", "log", "pdf", "png", "docx", "yaml", "html", "zip")
NUMBER_WORDS = "two three four five six seven eight nine ten eleven twelve".split()
UNITS = {
    "km": 900, "kilometers": 900, "miles": 500, "meters": 900, "kg": 200, "kilos": 90,
    "grams": 900, "liters": 90, "minutes": 120, "hours": 48, "days": 60, "degrees": 40,
    "percent": 100, "pages": 900, "years": 80, "points": 120, "people": 300, "seats": 90,
}  # fmt: skip


def plain(make: Callable[[random.Random, Split], str]) -> Make:
    def made(rng: random.Random, split: Split) -> Value:
        text = make(rng, split)
        return Value(text, text)

    return made


def one_of(items: Sequence[str]) -> Make:
    return plain(lambda rng, split: words.one_of(rng, items, split))


def person(rng: random.Random, split: Split) -> str:
    """A first name, often with a last one, sometimes with a title."""
    name = words.person(rng, split)
    kind = rng.random()
    if kind < 0.4:
        name += " " + words.new_name(rng, split)
    elif kind < 0.44:
        name = rng.choice(("Dr. ", "Mr. ", "Mrs. ", "Ms. ", "Prof. ")) + words.new_name(rng, split)
    return name


def integer(low: int, high: int) -> Make:
    """Whole numbers; those of a short range are in both shares."""

    def made(rng: random.Random, split: Split) -> Value:
        if high - low < 100:
            drawn = rng.randint(low, high)
            return Value(str(drawn), drawn)
        text = words.number(rng, split, low, high)
        return Value(text, int(text))

    return made


def count(rng: random.Random, split: Split) -> Value:
    if rng.random() < 0.08:
        n = rng.randint(2, 12)
        return Value(NUMBER_WORDS[n - 2], n)
    return integer(2, rng.choice((12, 60, 500)))(rng, split)


def signed(rng: random.Random, split: Split) -> Value:
    text = words.number(rng, split, -20, 42)
    return Value(text, int(text))


def decimal(rng: random.Random, split: Split) -> Value:
    text = f"{words.number(rng, split, 0, 99)}.{rng.randint(1, 9)}"
    return Value(text, float(text))


def price(rng: random.Random, split: Split) -> Value:
    """An amount with its currency in words or signs; JSON has the number."""
    text = words.number(rng, split, 1, rng.choice((20, 99, 999, 4999)))
    if rng.random() < 0.4:
        text += f".{rng.randint(0, 99):02}"
    amount = float(text) if "." in text else int(text)
    form = rng.choice(("{} dollars", "{} euros", "${}", "€{}", "{} EUR", "{} USD", "{} pounds"))
    return Value(form.format(text), amount)


def measure(*units: str) -> Make:
    """A number with one of the units; JSON has the number."""

    def made(rng: random.Random, _: Split) -> Value:
        unit = rng.choice(units)
        text = str(rng.randint(1, UNITS[unit]))
        return Value(f"{text} {unit}", int(text))

    return made


def date(rng: random.Random, _: Split) -> str:
    day, month, year = rng.randint(1, 28), rng.randrange(12), rng.randint(1950, 2035)
    name = words.MONTHS[month]
    return rng.choice(
        (
            f"{year}-{month + 1:02}-{day:02}",
            f"{name} {day}, {year}",
            f"{day} {name} {year}",
            f"{name} {day}",
            f"{day} {name}",
            f"{day}.{month + 1}.{year}",
            f"{month + 1}/{day}/{year}",
        )
    )


def clock(rng: random.Random, _: Split) -> str:
    hour, minute = rng.randint(0, 23), rng.randrange(0, 60, 5)
    if rng.random() < 0.2:
        return f"{hour % 12 + 1} {rng.choice(('am', 'pm'))}"
    return f"{hour:02}:{minute:02}"


def email(rng: random.Random, split: Split) -> str:
    first = words.person(rng, split).lower()
    if rng.random() < 0.4:
        first += rng.choice((".", "_", "")) + words.new_word(rng, split)
    return f"{first}@{words.new_word(rng, split)}.{rng.choice(ENDINGS)}"


def phone(rng: random.Random, _: Split) -> str:
    parts = [
        "".join(rng.choices("0123456789", k=k)) for k in rng.choice(((3, 4), (3, 3, 4), (4, 6)))
    ]
    return rng.choice(("", "+", "")) + rng.choice((" ", "-")).join(parts)


def url(rng: random.Random, split: Split) -> str:
    path = f"/{words.new_word(rng, split)}" if rng.random() < 0.5 else ""
    return f"https://{words.new_word(rng, split)}.{rng.choice(ENDINGS)}{path}"


def file_name(rng: random.Random, split: Split) -> str:
    stem = rng.choice(words.COMMON) if rng.random() < 0.4 else words.new_word(rng, split)
    if rng.random() < 0.25:
        stem += rng.choice("_-/") + words.new_word(rng, split)
    return f"{stem}.{rng.choice(FILE_TYPES)}"


def title(rng: random.Random, split: Split) -> str:
    first = rng.choice(words.COMMON).capitalize()
    second = words.thing(rng, split).capitalize()
    third = words.new_name(rng, split)
    form = rng.choice(("The {1}", "{0} {1}", "The {0} {1}", "A {1} of {2}", "{2}", "{1} and {0}"))
    return form.format(first, second, third)


def company(rng: random.Random, split: Split) -> str:
    kinds = ("", " Ltd", " Inc", " Group", " Labs", " & Sons", " GmbH", " Foods", " Air", " Bank")
    return words.new_name(rng, split) + rng.choice(kinds)


def street(rng: random.Random, split: Split) -> str:
    kind = rng.choice(("Street", "Road", "Avenue", "Lane", "Way", "Square"))
    return f"{rng.randint(1, 250)} {words.new_name(rng, split)} {kind}"


def phrase(rng: random.Random, split: Split) -> str:
    """One to six words to search for or to write down."""
    makes = (lambda r, _: r.choice(words.COMMON), words.thing, words.new_word)
    return " ".join(rng.choice(makes)(rng, split) for _ in range(rng.choice((1, 2, 2, 3, 4, 5, 6))))


def listed(make: Callable[[random.Random, Split], str]) -> Make:
    def made(rng: random.Random, split: Split) -> Value:
        items = list(dict.fromkeys(make(rng, split) for _ in range(rng.randint(2, 5))))
        said = words.join_and(items) if rng.random() < 0.75 else ", ".join(items)
        return Value(said, items)

    return made


def switch(rng: random.Random, _: Split) -> Value:
    text = rng.choice(("on", "off"))
    return Value(text, text == "on")


MAKES: dict[str, Make] = {
    "animal": one_of(words.ANIMALS),
    "city": plain(words.city),
    "clock": plain(clock),
    "code": plain(words.new_code),
    "color": one_of(words.COLORS),
    "company": plain(company),
    "count": count,
    "country": one_of(COUNTRIES),
    "date": plain(date),
    "day": one_of(words.DAYS),
    "decimal": decimal,
    "email": plain(email),
    "file": plain(file_name),
    "food": one_of(words.FOODS),
    "foods": listed(lambda r, s: words.one_of(r, words.FOODS, s)),
    "hobby": one_of(words.HOBBIES),
    "item": plain(words.thing),
    "items": listed(words.thing),
    "job": one_of(words.JOBS),
    "language": one_of(LANGUAGES),
    "languages": listed(lambda r, s: words.one_of(r, LANGUAGES, s)),
    "material": one_of(MATERIALS),
    "mass": measure("kg", "kilos", "grams"),
    "measure": measure(*UNITS),
    "month": one_of(words.MONTHS),
    "people": listed(words.person),
    "person": plain(person),
    "phone": plain(phone),
    "phrase": plain(phrase),
    "price": price,
    "room": one_of(ROOMS),
    "signed": signed,
    "size": one_of(SIZES),
    "sky": one_of(SKIES),
    "span": measure("minutes", "hours", "days"),
    "status": one_of(STATUSES),
    "street": plain(street),
    "subject": one_of(SUBJECTS),
    "switch": switch,
    "team": one_of(TEAMS),
    "title": plain(title),
    "url": plain(url),
    "word": plain(words.new_word),
    "words": listed(words.new_word),
}


def make_values(sort: str) -> Make:
    """A key of MAKES, or "integer LOW HIGH"."""
    name, *bounds = sort.split()
    return integer(int(bounds[0]), int(bounds[1])) if name == "integer" else MAKES[name]
