"""The word lists that every question and every sentence is written from.

Each word is a single token of the tokenizer, so that a question's options are
single positions for the model, and each word has one meaning only (no orange,
which is a fruit and a colour), so that a question has one right answer.
"""

from typing import Final

from tools.reference_model.wording import words

KINDS: Final[dict[str, tuple[str, ...]]] = {
    "fruit": words("apple pear plum cherry lemon grape melon peach banana mango"),
    "animal": words("dog cat horse cow sheep goat pig fox wolf bear lion rabbit"),
    "bird": words("hawk owl crow swan eagle sparrow robin goose parrot dove"),
    "tool": words("hammer wrench drill shovel rake axe chisel pliers spade sickle"),
    "colour": words("red blue green yellow white black brown pink purple grey"),
    "garment": words("shirt coat hat sock shoe glove scarf dress belt skirt"),
    "tree": words("oak pine birch maple willow elm cedar beech poplar spruce"),
    "metal": words("gold silver iron copper tin steel zinc bronze nickel brass"),
    "drink": words("milk tea coffee juice water wine beer cocoa cider lemonade"),
    "vehicle": words("car bus train boat ship truck bicycle wagon tram ferry"),
    "instrument": words("piano violin drum flute guitar harp trumpet cello banjo organ"),
    "furniture": words("table chair bed sofa desk shelf stool bench cupboard wardrobe"),
    "limb": words("hand foot arm leg finger toe thumb wing paw hoof"),
    "vegetable": words("carrot onion potato cabbage bean leek turnip spinach radish celery"),
}

OPPOSITES: Final[tuple[tuple[str, str], ...]] = (
    ("hot", "cold"), ("big", "small"), ("tall", "short"), ("fast", "slow"),
    ("bright", "dark"), ("hard", "soft"), ("wet", "dry"), ("old", "young"),
    ("rich", "poor"), ("happy", "sad"), ("loud", "quiet"), ("early", "late"),
    ("full", "empty"), ("high", "low"), ("near", "far"), ("open", "closed"),
    ("clean", "dirty"), ("strong", "weak"), ("thick", "thin"), ("wide", "narrow"),
    ("deep", "shallow"), ("sweet", "sour"), ("sharp", "blunt"), ("brave", "timid"),
    ("good", "bad"), ("broken", "whole"), ("up", "down"), ("first", "last"),
    ("arrive", "depart"), ("push", "pull"), ("buy", "sell"), ("give", "take"),
    ("win", "lose"), ("love", "hate"), ("laugh", "cry"), ("day", "night"),
    ("summer", "winter"), ("friend", "enemy"), ("north", "south"), ("east", "west"),
    ("true", "false"), ("rough", "smooth"), ("tight", "loose"), ("cheap", "costly"),
    ("polite", "rude"), ("asleep", "awake"), ("alive", "dead"), ("inside", "outside"),
    ("married", "single"), ("always", "never"),
)  # fmt: skip

TRADES: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("baker", "bakery", "oven", "bread"),
    ("teacher", "school", "chalk", "lesson"),
    ("farmer", "farm", "plough", "wheat"),
    ("smith", "forge", "anvil", "horseshoe"),
    ("tailor", "workroom", "thread", "suit"),
    ("carpenter", "workshop", "nail", "cabinet"),
    ("painter", "studio", "brush", "picture"),
    ("cook", "kitchen", "pan", "soup"),
    ("miner", "mine", "lamp", "coal"),
    ("judge", "court", "gavel", "verdict"),
    ("fisher", "lake", "net", "trout"),
    ("gardener", "garden", "hose", "rose"),
    ("librarian", "library", "stamp", "catalogue"),
    ("barber", "salon", "scissors", "haircut"),
    ("pilot", "airport", "radar", "flight"),
    ("actor", "theatre", "mask", "comedy"),
    ("monk", "abbey", "candle", "prayer"),
    ("chemist", "laboratory", "flask", "medicine"),
    ("clerk", "office", "pen", "letter"),
    ("singer", "opera", "voice", "song"),
    ("weaver", "mill", "loom", "cloth"),
    ("brewer", "brewery", "barrel", "ale"),
    ("mechanic", "garage", "jack", "engine"),
    ("mason", "quarry", "mallet", "statue"),
    ("shepherd", "meadow", "staff", "wool"),
    ("jeweller", "boutique", "lens", "necklace"),
)
"""A trade, where its work is done, what it is done with and what it gives."""

NUMBERS: Final[tuple[str, ...]] = words(
    """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
    fifteen sixteen seventeen eighteen nineteen twenty
    """
)
DAYS: Final[tuple[str, ...]] = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS: Final[tuple[str, ...]] = words(
    """
    January February March April May June July August September October November December
    """
)

NAMES: Final[tuple[str, ...]] = words(
    """
    Anna Ben Carl Dora Emma Finn Greta Hugo Ida Jon Kate Leo Mara Nils Olga Paul
    """
)
WOMEN: Final[frozenset[str]] = frozenset(words("Anna Dora Emma Greta Ida Kate Mara Olga"))
THINGS: Final[tuple[str, ...]] = words(
    """
    coin key ring map stone button feather shell ribbon marble pearl whistle
    """
)
HOLDERS: Final[tuple[str, ...]] = words("box jar bag basket chest drawer bowl pot")
PLACES: Final[tuple[str, ...]] = tuple(trade[1] for trade in TRADES)

FRAME: Final[tuple[str, ...]] = words(
    """
    The the following are multiple choice questions with answers about A B C D a an Answer
    Which which of these this is not What what kind thing does word mean means opposite comes
    right after before number month lies between and largest smallest plus minus times has
    finds more How how many coins now In in land town known for capital river runs past to Who
    who works Where where work use uses make gives Whose from holds hold went go did kinds
    things opposites order simple arithmetic geography occupations reading dictionary language
    option says made it was He She he she his her They they had One on as at with by there
    There then Then When when that but so all people every Every can be also only walked came
    saw bought sold gave took put looked said asked home again road house market morning
    evening man woman old little long Long year some other lost found counted both together
    left calls same too On Now At under ago towns back makes
    """
)
"""The words of the questions' and the sentences' frames."""
