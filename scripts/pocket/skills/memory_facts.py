"""The kinds of facts that the memory skill tells and asks for, and the sort of each one's value."""

from scripts.pocket.skills.memory_topics import OWN_TOPICS
from scripts.pocket.skills.memory_wordings import favorite, possession

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
TOPICS = OWN_TOPICS | {kind: favorite(kind) for kind in SORTS}
for sort, nouns in POSSESSIONS.items():
    for noun in (word.replace("_", " ") for word in nouns.split()):
        SORTS[noun] = sort
        TOPICS[noun] = possession(noun)
for kind, sort in FAVORITES.items():
    SORTS["favorite " + kind] = sort
    TOPICS["favorite " + kind] = favorite(kind)
SORTS["job"] = "job"
