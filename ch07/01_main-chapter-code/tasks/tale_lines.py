"""What can be asked about each Tiny Tale, and how each of its sentences is told in another tense or
by another speaker.

`tale_kinds.py` turns these lines into instructions. Slots are those of `tale_grammar.py`; `[one|two]`
stands for any of these, in the order in which the other parts of the same row give theirs.
"""

# (kind, question, answer, evidence): the row fits a tale in which the evidence can be read ("" fits
# every tale).
ASKED_OF_ALL = [
    ("who", "Who is the {hero.kind}?", "{hero}", ""),
    ("who", "Who is the {friend.kind}?", "{friend}", ""),
    ("what", "What animal is {hero}?", "{hero.kind.a}", ""),
    ("what", "What animal is {friend}?", "{friend.kind.a}", ""),
    ("when", "On which day does it happen?", "{day}", "{weather} {day}"),
    ("when", "Is it day or night?", "night", "{weather} night"),
    ("when", "Is it day or night?", "day", "{weather} {day}"),
    ("when", "What is the weather like?", "{weather}", "{weather} {day}"),
    ("when", "What is the night like?", "{weather}", "{weather} night"),
    ("like", "What is {hero} like?", "{trait}", "{trait} {hero.kind}"),
    ("like", "What is {friend} like?", "{trait2}", "{trait2} {friend.kind}"),
    (
        "like",
        "Which word tells what the {friend.kind} is like?",
        "{trait2}",
        "{trait2} {friend.kind}",
    ),
    ("like", "Which word tells what the {hero.kind} is like?", "{trait}", "{trait} {hero.kind}"),
]

ASKED = {
    "stuck": [
        ("who", "Who has a new {thing}?", "{hero}", ""),
        ("who", "Who throws the {tool}?", "{hero}", "{hero} threw, and"),
        ("who", "Who throws the {tool}?", "{friend}", "Watch this, {hero}"),
        ("what", "What does the wind take away?", "the {thing}", ""),
        ("what", "What is thrown into the tree?", "{tool.a}", ""),
        ("where", "Where does it happen?", "at the {place}", ""),
        ("where", "Where does the {thing} hang?", "in the {tree}", ""),
        (
            "why",
            "Why does {hero} climb on {friend}'s shoulders?",
            "because the {thing} is in the {tree}",
            "So {hero} climbed",
        ),
        (
            "why",
            "Why do they shake the trunk?",
            "because the {tool} and the {thing} are in the {tree}",
            "they shook",
        ),
        (
            "why",
            "Why does {friend} throw {tool.a}?",
            "because the {thing} is in the {tree}",
            "Watch this, {hero}",
        ),
    ],
    "lost": [
        ("who", "Who looks for the {thing}?", "{hero}", ""),
        ("who", "Who sees where the {thing} is?", "{friend}", ""),
        ("what", "What is {hero} looking for?", "the {thing}", ""),
        ("where", "Where does it happen?", "at the {place}", ""),
        (
            "where",
            "Where is the {thing}?",
            "[behind|under] {hero.his} {spot}",
            "{hero}, [behind|under] your {spot}",
        ),
        (
            "why",
            "Why does {hero} search the {place}?",
            "because {hero.his} {thing} is gone",
            "searched the",
        ),
        ("why", "Why did {hero} put the {thing} there?", "so that {hero.he} would not lose it", ""),
    ],
    "last-bun": [
        ("who", "Who gets the {food}?", "the crow", ""),
        ("who", "Who is there first, {hero} or {friend}?", "{hero}", ""),
        ("what", "What do both of them want?", "the {food}", ""),
        ("where", "Where does it happen?", "at the {place}", ""),
        ("where", "Where is the last {food}?", "on the table", "On the table"),
        ("why", "Why do {hero} and {friend} argue?", "because there is only one {food}", ""),
        ("why", "Why does no one see the crow?", "because they argue so loudly", "so loudly"),
    ],
    "night-music": [
        ("who", "Who plays the {thing}?", "{friend}", ""),
        ("who", "Who takes {tool.a} along?", "{hero}", ""),
        ("what", "What does {friend} play?", "the {thing}", ""),
        ("what", "What does {hero} take along?", "{tool.a}", ""),
        ("where", "Where does {friend} play?", "at the {place}", ""),
        ("where", "Where is {hero} when it begins?", "in bed", "sat up in bed"),
        (
            "why",
            "Why does {friend} play at night?",
            "because {friend.he} plays so [badly|loudly|wildly]",
            "I play so [badly|loudly|wildly]",
        ),
        (
            "why",
            "Why does {friend} play at night?",
            "because nobody was meant to hear",
            "Nobody was meant",
        ),
    ],
    "ship": [
        ("who", "Who makes {thing.a}?", "{hero}", ""),
        ("who", "Who becomes captain?", "{friend}", "captain"),
        ("who", "Who knows that the {thing} needs {patch}?", "{friend}", ""),
        ("what", "What is the {thing} made of?", "old {stuff}", ""),
        ("what", "What does {hero} forget?", "the {patch}", "You forgot"),
        ("what", "What does {friend} bring?", "{patch}", "I will bring"),
        ("where", "Where does it happen?", "at the {place}", ""),
        (
            "where",
            "Where does {hero} want to sail?",
            "[around the world|to the moon|to lunch]",
            "sail [around the world|to the moon|to lunch]",
        ),
        ("why", "Why does the {thing} go down?", "because {hero} forgot the {patch}", "You forgot"),
        ("why", "Why does the {thing} go down?", "because nothing holds it together", '"Nothing,"'),
        (
            "why",
            "Why does {hero} want {thing.a}?",
            "to see [the sea|where the river goes|what is on the other side]",
            "to see [the sea|where the river goes|what is on the other side]",
        ),
    ],
    "broken": [
        ("who", "Who breaks the {thing}?", "{hero}", ""),
        ("who", "Whose {thing} is it?", "{friend}'s", ""),
        ("what", "What breaks?", "the {thing}", ""),
        ("where", "Where does it happen?", "at the {place}", ""),
        ("where", "Where does {hero} hide the pieces?", "under the {hide}", ""),
        ("why", "Why can {hero} not eat?", "because {hero.he} broke the {thing}", "could not eat"),
        ("why", "Why is {hero} sorry?", "because {hero.he} broke the {thing}", "I am sorry"),
        (
            "why",
            "Why is {friend} not angry?",
            "because it was broken [twice|three times|long] before",
            "broken [twice|three times|long] before",
        ),
        (
            "why",
            "Why is {friend} not angry?",
            "because {friend.he} never liked the {thing}",
            "I never liked it",
        ),
    ],
    "race": [
        ("who", "Who wants to race to the {place}?", "{hero}", ""),
        ("who", "Who is in the {mud} first?", "{friend}", ""),
        ("who", "Who wins the race?", "a snail", "A snail had won"),
        ("what", "What does the winner get?", "the {prize}", ""),
        ("what", "What does {friend} fall into?", "the {mud}", "had fallen into"),
        ("where", "Where does the race end?", "at the {place}", ""),
        ("where", "Where does {hero} find {friend}?", "in the {mud}", ""),
        (
            "why",
            "Why does {hero} turn around?",
            "because {friend} is in the {mud}",
            "turned around",
        ),
        ("why", "Why does {hero} run back?", "because {friend} is in the {mud}", "and ran back"),
    ],
    "soup": [
        ("who", "Who cooks soup?", "{hero}", ""),
        ("who", "Who has {food.a}?", "{friend}", ""),
        ("what", "What does the soup taste of at first?", "{bad}", ""),
        ("what", "What goes into the soup?", "the {food}", ""),
        ("where", "Where does {hero} cook?", "at the {place}", ""),
        ("where", "Where does it happen?", "at the {place}", ""),
        (
            "why",
            "Why does {friend} cough?",
            "because the soup tastes of {bad}",
            "tasted the soup and coughed",
        ),
        ("why", "Why do the neighbours come?", "because they smell the soup", "neighbours smelled"),
        (
            "why",
            "Why does {hero} ask {friend} about the taste?",
            "because the soup tasted of {bad}",
            "",
        ),
    ],
    "swap": [
        ("who", "Who has {mine.a} at first?", "{hero}", ""),
        ("who", "Who has {yours.a} at first?", "{friend}", ""),
        ("what", "What does {hero} give away?", "{hero.his} {mine}", ""),
        ("what", "What does {friend} give away?", "the {yours}", ""),
        ("where", "Where does it happen?", "at the {place}", ""),
        (
            "why",
            "Why does {hero} want to swap?",
            "because {hero.he} is tired of {hero.his} {mine}",
            "was tired of",
        ),
        (
            "why",
            "Why does {hero} want to swap?",
            "because {hero.he} [wants|dreams of|talks of] {yours.a}",
            "[wanted|dreamed of|talked of] {yours.a}",
        ),
        (
            "why",
            "Why is {hero} not happy at night?",
            "because {hero.he} cannot [fit|keep|enjoy] the {yours} in bed",
            "could not [fit|keep|enjoy] the {yours} in bed",
        ),
        ("why", "Why do they swap back?", "because {hero} fell off the {yours}", "fallen off"),
    ],
    "pit": [
        ("who", "Who is in the {hole}?", "{friend}", ""),
        ("who", "Who pulls {friend} out?", "{hero}", ""),
        ("what", "What is too short?", "the {tool}", ""),
        ("what", "What does {hero} let down into the {hole}?", "{tool.a}", "let it down"),
        ("where", "Where does it happen?", "at the {place}", ""),
        ("where", "Where is {friend}?", "in the {hole}", ""),
        (
            "why",
            "Why does {hero} need {hero.his} belt?",
            "because the {tool} is too short",
            "tied {hero.his} belt",
        ),
        (
            "why",
            "Why does {hero} lie on {hero.his} belly?",
            "because the {tool} is too short",
            "{hero.his} belly",
        ),
        ("why", "Why does {friend} say thank you?", "because {hero} pulled {friend.him} out", ""),
    ],
    "letter": [
        ("who", "Who finds the letter?", "{hero}", ""),
        ("who", "Who wrote the letter?", "{friend}", ""),
        ("what", "What does {friend} want to have?", "{feast.a}", ""),
        ("where", "Where does it happen?", "at the {place}", ""),
        (
            "where",
            "Where does the letter land?",
            "on {hero.his} [nose|head]",
            "{hero.his} [nose|head]",
        ),
        (
            "why",
            "Why did {friend} give it to the wind?",
            "because {friend.he} knew nobody",
            "I knew nobody",
        ),
        (
            "why",
            "Why was there no name on it?",
            "because {friend.he} did not know [whom to ask|any names|where to send it]",
            "I did not know [whom to ask|any names|where to send it]",
        ),
    ],
    "moon": [
        ("who", "Who wants to have the moon?", "{hero}", "I want it"),
        ("who", "Who wants to help the moon?", "{hero}", "You look lost"),
        ("who", "Who fills {bowl.a}?", "{friend}", ""),
        ("what", "What does {friend} fill with water?", "{bowl.a}", ""),
        ("what", "What does {hero} see in the water?", "the moon", ""),
        ("where", "Where does {hero} first see the moon?", "in the water", ""),
        ("where", "Where is the moon at the end?", "in the {bowl}", ""),
        ("where", "Where does it happen?", "at the {place}", ""),
        ("why", "Why does {hero} fetch {tool.a}?", "because {hero.he} wants the moon", "I want it"),
        (
            "why",
            "Why does {hero} try to lift the moon out?",
            "because it looks lost",
            "You look lost",
        ),
        (
            "why",
            "Why may {hero} only borrow the moon?",
            "because it belongs to everybody",
            "belongs to everybody",
        ),
    ],
}

# The narrator's sentences. (was/is): the past and the present. {I} {me} {he} {him} {his}: the hero,
# who turns into I, me and my when the hero tells it; a line with {hero} or without the hero is for
# tenses only.
TOLD = [
    # openings, meetings and endings
    "{I} (was/is) a {trait} {hero.kind} who (lived/lives) [close to|just behind|right beside] the {place}.",
    "On a {weather} {day}, a {trait} {hero.kind} named {hero} [(was/is) walking|(came/comes) "
    "hurrying|(went/goes) skipping] past the {place}.",
    "Near the {place} (lived/lives) a {trait} {hero.kind} called {hero}.",
    "Everyone at the {place} (knew/knows) {me}, the {trait} {hero.kind}.",
    "Nobody (expected/expects) [trouble|anything] on such a {weather} {day}.",
    "Just then {friend}, a {trait2} {friend.kind}, [(came/comes) by|(looked/looks) "
    "in|(wandered/wanders) up].",
    "Along (came/comes) a {trait2} {friend.kind} called {friend}.",
    "A {trait2} {friend.kind} (had/has) been watching [from far away|the whole time|with great interest].",
    "They (went/go) home past the {place}, the {hero.kind} in front and the {friend.kind} "
    "[close|humming|yawning] behind.",
    "That night the {place} (was/is) quiet again, and so (were/are) the {friend.kind} and the "
    "{hero.kind}, [for a while|almost|more or less].",
    "The {hero.kind} (waved/waves) goodbye to the {place} and "
    "[(agreed/agrees)|(nodded/nods)|(yawned/yawns)].",
    # stuck
    "{He} (had/has) a new {thing}, and {he} (could/can) not stop looking at it.",
    "A new {thing} (was/is) [all that|the best thing] {he} (owned/owns).",
    "Then the wind [(grabbed/grabs)|(stole/steals)|(snatched/snatches)] the {thing} and "
    "(hung/hangs) it on the tallest {tree}.",
    "But one gust (was/is) enough, and the {thing} [(sailed/sails)|(danced/dances)|(flew/flies)] "
    "to the very top of the {tree}.",
    "So {I} (climbed/climbs) on {friend.his} shoulders, (reached/reaches) out, and down "
    "(came/come) the {thing} and the {tool}.",
    "In the end they (shook/shake) the trunk together, and the {tool} and the {thing} (fell/fall) "
    "[on their heads|at their feet].",
    # lost
    "{hero} the {hero.kind} (woke/wakes) up and (knew/knows) at once that {his} {thing} (was/is) gone.",
    "It (was/is) a {weather} {day}, and the {place} (was/is) [full of hiding places|very big|not even tidy].",
    "{He} (searched/searches) the {place} from end to end, on a {weather} {day} [too|of all days].",
    "{I} (felt/feels) {his} {spot}.",
    "It (was/is) the {thing}, and it (had/has) been with {his} {spot} all day.",
    # last-bun
    "On the table (lay/lies) the last {food}, and {I} [(reached/reaches) for|(sat/sits) down "
    "before|(had/has) dreamed of] it.",
    "There (was/is) one {food} left in the [whole wide|entire] world, or so it (seemed/seems) to {me}.",
    "{I} (pulled/pulls) on the left side and {friend} (pulled/pulls) on the right, and neither "
    "(let/lets) go.",
    "While they (argued/argue), a crow [(flew/flies) down|(hopped/hops) over|(said/says) thank "
    "you] and (ate/eats) it all.",
    "They (argued/argue) so loudly that no one (saw/sees) the crow, which "
    "[quietly|politely|slowly] (carried/carries) it off.",
    "The next day {I} (came/comes) with a fresh {food} for {friend}, and {friend} (came/comes) "
    "with a fresh {food} for {me}.",
    "Next morning they (baked/bake) a new {food} together, and it (was/is) so big that they "
    "[(called/call)|(invited/invite)|(fed/feed)] the crow.",
    # night-music
    "One {weather} night {hero} the {hero.kind} (sat/sits) up in bed.",
    "{He} only (took/takes) {tool.a} along [for company|to be polite].",
    "It (was/is) only {friend}, a {trait2} {friend.kind}, with {thing.a}.",
    "There (stood/stands) a {trait2} {friend.kind} called {friend}, holding {thing.a}.",
    "So {friend} (played/plays) the {thing} until the sun (came/comes) up, and nobody (slept/sleeps).",
    "The {thing} (sang/sings), and soon the whole neighbourhood (was/is) dancing in pyjamas.",
    # ship
    "All {he} (wanted/wants) (was/is) {thing.a}, to see [the sea|where the river goes|what is on "
    "the other side].",
    "{He} (made/makes) the {thing} out of old {stuff} and a great deal of [hope|noise|hurry].",
    "{He} (found/finds) some old {stuff} and (hammered/hammers) until {he} (had/has) something "
    "like {thing.a}.",
    "Then the {stuff} (went/go) their own ways.",
    "Down it (went/goes), and only the {stuff} (came/come) up again.",
    "With {patch} the {thing} (floated/floats), and {I} (made/makes) {friend} captain.",
    "Thanks to the {patch} the new {thing} [(creaked/creaks)|(leaked/leaks)|(turned/turns) in "
    "circles] only a little, and {I} (sang/sings).",
    # broken
    "{friend} the {friend.kind} (lived/lives) at the {place} and (owned/owns) a beautiful {thing}.",
    "At the {place} (stood/stands) a beautiful {thing} that (belonged/belongs) to {friend} the "
    "{friend.kind}.",
    "On a {weather} {day} {hero}, a {trait} {hero.kind}, [(danced/dances)|(turned/turns) "
    "around|(stretched/stretches)] too close to it.",
    "One {weather} {day} a {trait} {hero.kind} named {hero} only (wanted/wants) to [look at|dust|hold] it.",
    "{I} [quickly|quietly] (pushed/pushes) the pieces under the {hide}.",
    "In a moment all the pieces (were/are) under the {hide}, and {I} (was/is) "
    "[whistling|reading|asleep, or nearly].",
    "But {he} (could/can) not eat, and at night the pieces (seemed/seem) to whisper.",
    "But the cake (tasted/tastes) of nothing, and every tick of the evening (sounded/sounds) like "
    "[crash|who did it].",
    "At last {I} (looked/looks) under the {hide} and (took/takes) out the pieces.",
    # race
    "{hero} the {hero.kind} (told/tells) everyone that no one (could/can) beat {him} in a race to "
    "the {place}.",
    "{I} (was/is) far ahead when {he} (heard/hears) a cry.",
    "Halfway there {I} (looked/looks) back and (saw/sees) only two ears.",
    "{friend} (had/has) fallen into the {mud}.",
    "{I} (thought/thinks) of the {prize}.",
    "Then {he} (thought/thinks) of {friend}, and (turned/turns) around.",
    "{He} (pulled/pulls) {friend} out of the {mud}, and [(lost/loses) both shoes|(fell/falls) in].",
    "They (crossed/cross) the line together, last and second to last, and (shared/share) the {prize}.",
    "A snail (had/has) won by then, but it [gladly|kindly|slowly] (gave/gives) them the {prize}.",
    # soup
    "{He} (was/is) cooking soup, and it (tasted/tastes) of {bad}.",
    "{friend} (tasted/tastes) the soup and (coughed/coughs).",
    "Then the neighbours (smelled/smell) it and (brought/bring) whatever they (had/have).",
    # swap
    "{He} (had/has) a fine {mine}, but {he} [(wanted/wants)|(dreamed/dreams) of|(talked/talks) "
    "of] {yours.a}.",
    "{He} (was/is) tired of {his} {mine}.",
    "But that night {I} (could/can) not [fit|keep|enjoy] the {yours} in bed, and {friend} "
    "(missed/misses) it.",
    "By evening {I} (had/has) fallen off the {yours} twice, and {friend} (had/has) [bent|dented] the {mine}.",
    "They (swapped/swap) back, and {I} [(kissed/kisses)|(polished/polishes)|(patted/pats)] the old {mine}.",
    # pit
    "Then {he} (heard/hears) [sneezing|sobbing|singing] from under the ground.",
    "At the bottom of {hole.a} (sat/sits) a {trait2} {friend.kind} called {friend}.",
    "{I} (looked/looks) down {hole.a}, and up (looked/looks) {friend}, a {trait2} {friend.kind}.",
    "{I} (fetched/fetches) {tool.a} and (let/lets) it down into the {hole}.",
    "{I} (had/has) {tool.a}, but it (ended/ends) halfway down the {hole}.",
    "So {he} (tied/ties) {his} belt to the {tool} and (pulled/pulls) [and (pulled/pulls)|with all "
    "{his} might|until it (creaked/creaks)].",
    "Then {he} (lay/lies) on {his} belly, (held/holds) the {tool} in {his} teeth, and "
    "[(hummed/hums)|(waited/waits)|(grew/grows) red].",
    "Up (came/comes) {friend} out of the {hole}, [singing|blinking|a little muddy].",
    "One, two, three, and {friend} [(popped/pops)|(flew/flies)|(rolled/rolls)] out of the {hole}.",
    # letter
    "A letter [(blew/blows)|(fluttered/flutters)|(tumbled/tumbles)] down the path and "
    "(stuck/sticks) to {his} nose.",
    "Out of the sky (fell/falls) a letter, and it (landed/lands) on {his} head.",
    "It (was/is) a very small {feast}, and a very good one, with [too much|just enough|hardly any] cake.",
    "So there (was/is) a {feast} for two, with [far too much|three kinds of|a mountain of] cake.",
    # moon
    "One {weather} night {hero} the {hero.kind} (saw/sees) the moon floating in the water near the {place}.",
    "Each time the {tool} (came/comes) up, the moon [(slipped/slips) "
    "out|(broke/breaks)|(wobbled/wobbles) away].",
    "The {tool} (came/comes) up full of water and [empty of|without any|with no] moon.",
    "{friend.He} (filled/fills) {bowl.a} with water and (put/puts) it on the grass.",
    "And there in the {bowl} (was/is) the moon, small and [still|shy|shining].",
    "{I} (looked/looks) into the {bowl}, and the moon (looked/looks) back.",
    "They (carried/carry) the {bowl} home [on tiptoe|without a word], and (left/leave) the {tool} behind.",
]

# The word in which a plot's tale differs most from another tale of the same plot: what `tale-write`
# asks for.
MAIN_THING = {
    "stuck": "thing",
    "lost": "thing",
    "last-bun": "food",
    "night-music": "thing",
    "ship": "thing",
    "broken": "thing",
    "race": "prize",
    "soup": "food",
    "swap": "mine",
    "pit": "tool",
    "letter": "feast",
    "moon": "bowl",
}
