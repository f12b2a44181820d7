"""Word lists and made-up words, numbers and code that the skills fill into their phrasings."""

import random
from collections.abc import Sequence

from scripts.pocket.dialogue import Split, draw, pick

NAMES = """Anna Ben Carla David Elena Felix Greta Hannah Ivan Julia Karl Lena Marco Nina Oscar Paula
Quentin Rosa Simon Tara Uwe Vera Walter Xenia Yusuf Zoe Alice Bob Chloe Daniel Emma Frank Grace
Hugo Iris Jack Kira Leo Maria Noah Olivia Peter Rita Sam Tina Umar Victor Wendy Yara Zane Ahmed
Bianca Carlos Diana Erik Fatima George Helga Isabel Jonas Kevin Laura Mike Nora Omar Petra Ravi
Sofia Tom Ursula Vlad Willem Ying Aisha Bruno Clara Dmitri Eva Finn Gita Henry Ines James Kenji Lily
Max Nadia Otto Priya Raul Sara Theo Uma Viktor Wanda Amir Bella Cyrus Dora Elias Flora Gustav Hilda
Igor Jana Kofi Lucia Mateo Naomi Olaf Pablo Rahel Stefan Tamar Ugo Valerie Wim Yann Zita John Mary
Robert Linda Michael Susan William Karen Thomas Nancy Lisa Mark Sandra Paul Ashley Steven Donna
Andrew Carol Joshua Amanda Kenneth Melissa Brian Deborah Edward Laila Milo Ruth Eric Judy""".split()
CITIES = """Paris London Berlin Madrid Rome Vienna Prague Lisbon Oslo Athens Tokyo Kyoto Seoul Delhi
Mumbai Cairo Nairobi Lagos Lima Quito Bogota Santiago Toronto Boston Chicago Denver Austin Seattle
Dallas Miami Geneva Zurich Munich Hamburg Cologne Milan Naples Turin Porto Seville Dublin Glasgow
Leeds Oxford Bergen Helsinki Riga Tallinn Warsaw Krakow Budapest Bucharest Sofia Belgrade Zagreb
Istanbul Ankara Beirut Amman Dubai Doha Karachi Lahore Dhaka Hanoi Manila Jakarta Bangkok Sydney
Perth Melbourne Auckland Havana Montreal Ottawa Vancouver Houston Phoenix Atlanta Detroit Tunis
Accra Dakar Kampala Bremen Lyon Nice Ghent Utrecht Basel Graz Brno Malmo Aarhus Turku Bilbao""".split()
COLORS = """red blue green yellow orange purple pink black white brown gray silver gold turquoise
violet crimson teal navy olive maroon beige indigo lime coral amber""".split()
ANIMALS = """dog cat horse rabbit parrot turtle hamster goldfish snake lizard cow pig goat sheep duck
goose hen owl eagle fox wolf bear tiger lion zebra giraffe elephant monkey panda koala dolphin whale
shark seal otter beaver mouse frog camel donkey""".split()
FOODS = """pizza pasta soup bread cheese rice sushi curry salad cake chocolate noodles pancakes tacos
burger dumplings lasagna omelette porridge risotto sandwich stew waffles yogurt falafel hummus
paella goulash ramen muffins""".split()
ITEMS = """apple banana pear plum cherry lemon grape melon peach mango carrot potato onion tomato
pepper cabbage spinach pumpkin garlic celery chair table lamp desk mirror carpet pillow blanket
candle vase hammer screwdriver pliers drill ladder rope bucket shovel nail brush book pencil
notebook eraser ruler stapler envelope marker folder stamp phone camera laptop tablet speaker
charger keyboard monitor printer headset shirt jacket scarf glove boot hat belt sock dress coat
bottle cup plate fork spoon knife bowl kettle pan jar milk butter sugar salt flour honey tea coffee
juice water bicycle kite drum guitar violin flute piano ball puzzle doll wallet umbrella backpack
watch ticket""".split()
JOBS = """teacher nurse doctor engineer baker farmer pilot lawyer painter plumber chef driver writer
dentist gardener carpenter musician waiter scientist librarian cashier mechanic architect journalist
electrician""".split()
HOBBIES = """chess swimming painting running cycling gardening hiking cooking reading dancing fishing
skiing sailing photography knitting singing climbing surfing yoga tennis football basketball pottery
astronomy archery""".split()
MONTHS = """January February March April May June July August September October November
December""".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
COMMON = """the a of and to in is it was for on are with as his they at be this from have or had by not
but what some we can out other were all there when up use your how said an each she which do their
time if will way about many then them write would like so these her long make thing see him two has
look more day could go come did number sound no most people my over know water than call first who
may down side been now find any new work part take get place made live where after back little only
round man year came show every good me give our under name very through just form sentence great
think say help low line differ turn cause much mean before move right boy old too same tell does set
three want air well also play small end put home read hand port large spell add even land here must
big high such follow act why ask men change went light kind off need house picture try us again
animal point mother world near build self earth father head stand own page should country found
answer school grow study still learn plant cover food sun four between state keep eye never last let
thought city tree cross farm hard start might story saw far sea draw left late run while press close
night real life few north open seem together next white children begin got walk example ease paper
group always music those both mark often letter until mile river car feet care second book carry
took science eat room friend began idea fish mountain stop once base hear horse cut sure watch color
face wood main enough plain girl usual young ready above ever red list though feel talk bird soon
body dog family direct leave song measure door product black short class wind question happen
complete ship area half rock order fire south problem piece told knew pass since top whole king
space heard best hour better true during hundred five remember step early hold west ground interest
reach fast verb sing listen six table travel less morning ten simple several vowel toward war lay
against pattern slow center love person money serve appear road map rain rule govern pull cold
notice voice unit power town fine certain fly fall lead cry dark machine note wait plan figure star
box noun field rest correct able pound done beauty drive stood contain front teach week final gave
green quick develop ocean warm free minute strong special mind behind clear tail produce fact street
inch nothing course stay wheel full force blue object decide surface deep moon island foot system
busy test record boat common gold possible plane dry wonder laugh thousand ago ran check game shape
hot miss brought heat snow tire bring yes distant fill east paint language among""".split()
ONSETS = "b bl br c ch cl cr d dr f fl fr g gl gr h j k kl kr l m n p ph pl pr qu r s sc sh sk sl sm sn sp st str sw t th tr tw v w x y z".split()
NUCLEI = "a e i o u ai au ea ee ei ia ie io oa oo ou ue y".split()
CODAS = [
    "",
    "",
    "",
    *"b ck d f g l ll m mp n nd ng nk nt p r rd rk rn rt s sh sk ss st t th x z".split(),
]


# Values from the lists are a minority, so that the network copies what it reads instead of
# naming what it knows.
MADE_UP_SHARE = 0.5


def syllables(rng: random.Random) -> str:
    """A pronounceable word of one to three syllables, such as "flornai"."""
    n = rng.choice((1, 2, 2, 2, 3))
    return "".join(rng.choice(ONSETS) + rng.choice(NUCLEI) + rng.choice(CODAS) for _ in range(n))


def spliced(rng: random.Random) -> str:
    """The beginning of one common word and the end of another, such as "mounple"."""
    first, second = rng.choice(COMMON), rng.choice(COMMON)
    return first[: rng.randint(1, 4)] + second[-rng.randint(1, 4) :]


def invented_word(rng: random.Random) -> str:
    return syllables(rng) if rng.random() < 0.5 else spliced(rng)


def new_word(rng: random.Random, split: Split) -> str:
    return draw(rng, invented_word, split)


def new_name(rng: random.Random, split: Split) -> str:
    return new_word(rng, split).capitalize()


def person(rng: random.Random, split: Split) -> str:
    """A first name, made up or from the list."""
    return new_name(rng, split) if is_made_up(rng, split) else pick(rng, NAMES, split)


def city(rng: random.Random, split: Split) -> str:
    return new_name(rng, split) if is_made_up(rng, split) else pick(rng, CITIES, split)


def one_of(rng: random.Random, items: Sequence[str], split: Split) -> str:
    """A word of the list, or a made-up one in its place."""
    return new_word(rng, split) if is_made_up(rng, split) else pick(rng, items, split)


def thing(rng: random.Random, split: Split) -> str:
    return one_of(rng, ITEMS, split)


def is_made_up(rng: random.Random, split: Split) -> bool:
    """Held-out values come mostly from the lists, as a user's do."""
    return rng.random() < (MADE_UP_SHARE if split == "train" else MADE_UP_SHARE / 3)


def number(rng: random.Random, split: Split, low: int = 0, high: int = 999) -> str:
    return draw(rng, lambda r: str(r.randint(low, high)), split)


def code(rng: random.Random) -> str:
    """Something like a serial number: letters, digits and separators."""
    parts = []
    for _ in range(rng.randint(1, 4)):
        letters = rng.choice(
            ("ABCDEFGHJKLMNPQRSTUVWXYZ", "abcdefghijkmnopqrstuvwxyz", "0123456789")
        )
        mixed = letters if rng.random() < 0.7 else "ABCDEFabcdef0123456789"
        parts.append("".join(rng.choice(mixed) for _ in range(rng.randint(1, 6))))
    return rng.choice(("-", "", "_", ".", "/", ":")).join(parts)


def new_code(rng: random.Random, split: Split) -> str:
    return draw(rng, code, split)


SCRIPTS = (
    "àáâãäåæçèéêëìíîïñòóôõöøùúûüýßœšžłńśźżčřěğışAEIOUaeiounrst",
    "абвгдежзиклмнопрстуфхцчшщыьэюяАБВГ",
    "αβγδεζηθικλμνξοπρστυφχψω",
    "你好世界大小人山水火日月中国文字学生天地金木土年上下",
    "こんにちはありがとうさくらカタナ",
    "가나다라마바사아자차한국말",
    "אבגדהוזחטיכלמנ",
    "ابتثجحدرسعفقكلمنهوي",
    "हिनदीकरमसत",
    "😀🎉🚀❤👍🌍🔥✨🐱🍕",
    "€£¥§°±×÷≤≥≠→←∞√—–“”…«»©®™½¼",
)
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


def other_script(rng: random.Random) -> str:
    """A few letters of another alphabet, or signs."""
    letters = rng.choice(SCRIPTS)
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, 6)))


def signs(rng: random.Random) -> str:
    """A run of ASCII punctuation."""
    return "".join(rng.choice(PUNCTUATION) for _ in range(rng.randint(1, 8)))


def join_and(items: list[str]) -> str:
    """English enumeration.

    >>> join_and(["a", "b", "c"])
    'a, b and c'
    """
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
