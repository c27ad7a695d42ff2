"""The grammar of the Tiny Tales: who can appear, and the twelve plots. `tales.py` turns this into
stories and back.

How to read a line:

    {hero}         the hero's name, chosen where it is first used and the same from then on
    {hero.kind}    the animal the hero is; {hero.he} {hero.him} {hero.his} {hero.He} {hero.His} follow from the name
    {hero.kind} and {hero} may come in any order, but a pronoun never before the name
    {thing}        a word from the table `thing`, chosen where it is first used; {thing.a} puts "a" or "an" before it,
                   {thing.sound} is the entry `sound` of that word's own row; a capital ({stuff.Word}) starts a sentence
    [one|two]      one of these, each as likely as the other
    <meet>         one of the lines of the rule `meet`

A plot is a list of steps; a step is one line, or a list of lines of which the story takes one. Two
rules keep every choice readable from the finished story, and every mistake visible: what is chosen
from a table is mentioned at least twice, and no two lines of a step can turn out as the same words.
"""

SHE = ("Mia", "Nora", "Ivy", "Ada", "Tilda", "Rosa")  # everybody else is a he

# Tables that any line may use. A plot adds its own. Heroes and friends have words of their own, so
# that no story needs a rule such as "but not the same name again".
TABLES = {
    "hero": ("Mia", "Nora", "Ivy", "Pip", "Otto", "Finn"),
    "friend": ("Ada", "Tilda", "Rosa", "Ben", "Milo", "Gus"),
    "hero.kind": ("fox", "rabbit", "mouse", "hedgehog", "bear", "goat"),
    "friend.kind": ("badger", "owl", "frog", "squirrel", "mole", "turtle"),
    "place": ("mill", "orchard", "harbour", "lighthouse", "pond", "market", "bakery", "castle"),
    "trait": ("shy", "brave", "sleepy", "stubborn", "curious", "proud"),
    "trait2": ("clever", "gentle", "polite", "careful", "cheerful", "clumsy"),
    "weather": (
        "sunny",
        "windy",
        "foggy",
        "frosty",
        "rainy",
        "golden",
        "quiet",
        "grey",
        "warm",
        "misty",
    ),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}

RULES = {
    "open": [
        "On a {weather} {day}, a {trait} {hero.kind} named {hero} [was walking|came hurrying|went skipping] "
        "past the {place}.",
        "{hero} was a {trait} {hero.kind} who lived [close to|just behind|right beside] the {place}. "
        "It was a {weather} {day}.",
        "Near the {place} lived a {trait} {hero.kind} called {hero}. [This happened|It all began] "
        "on a {weather} {day}.",
        "Everyone at the {place} knew {hero}, the {trait} {hero.kind}. "
        "Nobody expected [trouble|anything] on such a {weather} {day}.",
    ],
    "meet": [
        "Just then {friend}, a {trait2} {friend.kind}, [came by|looked in|wandered up].",
        "Along came a {trait2} {friend.kind} called {friend}.",
        "A {trait2} {friend.kind} had been watching [from far away|the whole time|with great interest]. "
        "It was {friend}.",
    ],
    "end": [
        "Ever since, the {hero.kind} and the {friend.kind} have met at the {place} [every week|every morning|whenever "
        "it rains].",
        "If you pass the {place}, you may still hear the {hero.kind} and the {friend.kind} "
        "[laughing|arguing|singing] about it.",
        "They went home past the {place}, the {hero.kind} in front and the {friend.kind} "
        "[close|humming|yawning] behind.",
        "That night the {place} was quiet again, and so were the {friend.kind} and the {hero.kind}, "
        "[for a while|almost|more or less].",
        '"[Same time tomorrow|What a day|Not a word to anyone]," said the {friend.kind}. '
        "The {hero.kind} waved goodbye to the {place} and [agreed|nodded|yawned].",
    ],
}

PLOTS = {
    "stuck": {
        "tables": {
            "thing": ("kite", "balloon", "scarf", "hat", "flag"),
            "tree": ("oak", "pine", "willow", "chestnut"),
            "tool": ("boot", "spoon", "bucket", "slipper"),
        },
        "steps": [
            "<open>",
            [
                "{hero.He} had a new {thing}, and {hero.he} [showed it to every cloud|told everybody|could not stop looking "
                "at it].",
                "A new {thing} was [all that|the best thing] {hero.he} owned.",
            ],
            [
                "Then the wind [grabbed|stole|snatched] the {thing} and hung it on the tallest {tree}.",
                "But one gust was enough, and the {thing} [sailed|danced|flew] to the very top of the {tree}.",
            ],
            "<meet>",
            [
                '"Throw {tool.a} at it," said {friend}. {hero} threw, and now there was {tool.a} in the {tree} as well.',
                '"Watch this, {hero}," said {friend}, and [kindly|boldly|proudly] threw {tool.a} at it. '
                "It stayed in the {tree}.",
            ],
            [
                "So {hero} climbed on {friend.his} shoulders, reached out, and down came the {thing} and the {tool}.",
                "In the end they shook the trunk together, and the {tool} and the {thing} fell [on their heads|at their "
                "feet].",
            ],
            "<end>",
        ],
    },
    "lost": {
        "tables": {
            "thing": ("key", "pencil", "whistle", "ring", "coin"),
            "spot": ("ear", "hat", "scarf", "tail"),
        },
        "steps": [
            [
                '"My {thing}!" cried {hero} the {hero.kind}. "It is gone!"',
                "{hero} the {hero.kind} woke up and knew at once that {hero.his} {thing} was gone.",
            ],
            [
                "It was a {weather} {day}, and the {place} was [full of hiding places|very big|not even tidy].",
                "{hero.He} searched the {place} from end to end, on a {weather} {day} [too|of all days].",
            ],
            "<meet>",
            [
                '"When did you last see it?" asked {friend}. "[Just before I lost it|When I was not looking|Yesterday, or '
                'last year]," said {hero}.',
                '"What does it look like?" asked {friend}. "[Like mine|Small and important|Exactly like itself]," said '
                "{hero}.",
            ],
            [
                'Then {friend} [began to laugh|stopped|blinked]. "What is that, {hero}, behind your {spot}?"',
                '{friend} [tilted|scratched] {friend.his} head. "And what is that, {hero}, under your {spot}?"',
            ],
            [
                "{hero} felt {hero.his} {spot}. There was the {thing}!",
                "It was the {thing}, and it had been with {hero.his} {spot} all day.",
            ],
            [
                '"I put it there so that I would not lose it," said {hero} [softly|with dignity|in a small voice].'
            ],
            "<end>",
        ],
    },
    "last-bun": {
        "tables": {"food": ("bun", "pear", "pancake", "plum", "pie")},
        "steps": [
            "<open>",
            [
                "On the table lay the last {food}, and {hero} [reached for|sat down before|had dreamed of] it.",
                "There was one {food} left in the [whole wide|entire] world, or so it seemed to {hero}.",
            ],
            "<meet>",
            ['"That {food} is mine," said {friend}. "I [smelled|saw|named] it first."'],
            [
                '"I am hungrier," said {hero}. "I am [older|smaller|nicer]," said {friend}.',
                "{hero} pulled on the left side and {friend} pulled on the right, and neither let go.",
            ],
            [
                "While they argued, a crow [flew down|hopped over|said thank you] and ate it all.",
                "They argued so loudly that no one saw the crow, which [quietly|politely|slowly] carried it off.",
            ],
            [
                "The next day {hero} came with a fresh {food} for {friend}, and {friend} came with a fresh {food} for {hero}.",
                "Next morning they baked a new {food} together, and it was so big that they [called|invited|fed] the crow.",
            ],
            "<end>",
        ],
    },
    "night-music": {
        "tables": {
            "thing": {
                "trumpet": {"sound": "toot"},
                "tuba": {"sound": "oompah"},
                "drum": {"sound": "boom"},
                "fiddle": {"sound": "squeak"},
                "bell": {"sound": "clang"},
            },
            "tool": ("broom", "ladle", "pillow", "umbrella"),
        },
        "steps": [
            [
                "One {weather} night {hero} the {hero.kind} sat up in bed. From the {place} came a terrible {thing.sound}.",
                "In the middle of a {weather} night, something went {thing.sound} at the {place}, and {hero} the {hero.kind} "
                "woke up.",
            ],
            [
                '"A monster," [whispered|thought|decided] {hero}, and took {tool.a} from the wall.',
                "{hero.He} was not afraid. {hero.He} only took {tool.a} along [for company|to be polite].",
            ],
            [
                "It was only {friend}, a {trait2} {friend.kind}, with {thing.a}.",
                "There stood a {trait2} {friend.kind} called {friend}, holding {thing.a}.",
            ],
            [
                '"I practise at night," said {friend}, "because I play so [badly|loudly|wildly]."',
                '"Nobody was meant to hear," said {friend}, and [hid|dropped|hugged] it.',
            ],
            ['"Play it again," said {hero}, and put down the {tool}. "I will [dance|sing|clap]."'],
            [
                "So {friend} played the {thing} until the sun came up, and nobody slept.",
                "The {thing} sang, and soon the whole neighbourhood was dancing in pyjamas.",
            ],
            "<end>",
        ],
    },
    "ship": {
        "tables": {
            "thing": ("raft", "boat", "canoe", "ship", "submarine"),
            "stuff": ("barrels", "doors", "crates", "baskets"),
            "patch": ("rope", "tar", "honey", "string"),
        },
        "steps": [
            "<open>",
            [
                '"I shall build {thing.a}," said {hero}, "and sail [around the world|to the moon|to lunch]."',
                "All {hero.he} wanted was {thing.a}, to see [the sea|where the river goes|what is on the other side].",
            ],
            [
                "{hero.He} made the {thing} out of old {stuff} and a great deal of [hope|noise|hurry].",
                "{hero.He} found some old {stuff} and hammered until {hero.he} had something like {thing.a}.",
            ],
            [
                "It floated for [a moment|three seconds|as long as a sneeze]. Then the {stuff} went their own ways.",
                "Splash! Down it went, and only the {stuff} came up again.",
            ],
            "<meet>",
            [
                '"You forgot the {patch}," said {friend}. "{stuff.Word} never hold without {patch}."',
                '"What holds it together?" asked {friend}. "Nothing," said {hero}. "I see. I will bring {patch}."',
            ],
            [
                "With {patch} the {thing} floated, and {hero} made {friend} captain.",
                "Thanks to the {patch} the new {thing} [creaked|leaked|turned in circles] only a little, and {hero} sang.",
            ],
            "<end>",
        ],
    },
    "broken": {
        "tables": {
            "thing": ("teapot", "vase", "lamp", "mirror", "clock"),
            "hide": ("rug", "bed", "sofa", "stove"),
        },
        "steps": [
            [
                "{friend} the {friend.kind} lived at the {place} and owned a beautiful {thing}.",
                "At the {place} stood a beautiful {thing} that belonged to {friend} the {friend.kind}.",
            ],
            [
                "On a {weather} {day} {hero}, a {trait} {hero.kind}, [danced|turned around|stretched] too close to it. Crash!",
                "One {weather} {day} a {trait} {hero.kind} named {hero} only wanted to [look at|dust|hold] it. Crash!",
            ],
            [
                "{hero} [quickly|quietly] pushed the pieces under the {hide}.",
                "In a moment all the pieces were under the {hide}, and {hero} was [whistling|reading|asleep, or nearly].",
            ],
            [
                "But {hero.he} could not eat, and at night the pieces seemed to whisper.",
                "But the cake tasted of nothing, and every tick of the evening sounded like [crash|who did it].",
            ],
            [
                'At last {hero} looked under the {hide} and took out the pieces. "I broke your {thing}," {hero.he} said.',
                '"Look under the {hide}," said {hero}. "I broke your {thing}, and I am sorry."',
            ],
            [
                '"It was broken [twice|three times|long] before you came," said {friend}. "We know how to glue it."',
                '"I never liked it," said {friend}, "but I [do like|am glad of] a friend who tells me."',
            ],
            "<end>",
        ],
    },
    "race": {
        "tables": {
            "mud": ("mud", "nettles", "brambles", "reeds"),
            "prize": ("cake", "cheese", "melon", "medal"),
        },
        "steps": [
            [
                '"I am the fastest {hero.kind} alive," said {hero}, "and I will race anyone to the {place}."',
                "{hero} the {hero.kind} told everyone that no one could beat {hero.him} in a race to the {place}.",
            ],
            [
                '{friend}, a {trait2} {friend.kind}, said, "[All right|If you like|After breakfast]. The winner gets the '
                '{prize}."',
                'Only {friend}, a {trait2} {friend.kind}, put {friend.his} hand up. "Is it true about the {prize}?"',
            ],
            [
                "{hero} was far ahead when {hero.he} heard a cry. {friend} was stuck in the {mud}.",
                "Halfway there {hero} looked back and saw only two ears. {friend} had fallen into the {mud}.",
            ],
            [
                "{hero} thought of the {prize}. Then {hero.he} thought of {friend}, and turned around.",
                '"The {prize} can wait," [muttered|decided|sighed] {hero}, and ran back.',
            ],
            [
                "It took [a lot of|some] pulling, and then both sat in the {mud}.",
                "{hero.He} pulled {friend} out of the {mud}, and [lost both shoes|fell in].",
            ],
            [
                "They crossed the line together, last and second to last, and shared the {prize}.",
                "A snail had won by then, but it [gladly|kindly|slowly] gave them the {prize}.",
            ],
            "<end>",
        ],
    },
    "soup": {
        "tables": {
            "food": ("carrot", "onion", "turnip", "mushroom", "potato"),
            "bad": ("soap", "chalk", "socks", "dust"),
        },
        "steps": [
            "<open>",
            [
                "{hero.He} was cooking soup, and it tasted of {bad}.",
                '"My soup tastes of {bad}," [sighed|groaned|announced] {hero}.',
            ],
            "<meet>",
            [
                '"I have {food.a}," said {friend}. "You have a pot. That is [nearly|almost|already] a dinner."',
                '{friend} tasted the soup and coughed. "Take my {food}," {friend.he} said, "[please|quickly|all of it]."',
            ],
            [
                "In went the {food}. Then the neighbours smelled it and brought whatever they had.",
                "They cut up the {food}, and each slice made it [thicker|redder|better].",
            ],
            [
                '"Does it still taste of {bad}?" asked {hero}. {friend} took [a spoonful|three spoons|a long sip].'
            ],
            [
                '"A little," said {friend}. "But now it tastes of {bad} and {food}, and of company."',
                '"Not of {bad}," said {friend}. "Of {food}, and of [more|home], please."',
            ],
            "<end>",
        ],
    },
    "swap": {
        "tables": {
            "mine": ("hat", "lamp", "chair", "bicycle", "pillow"),
            "yours": ("boat", "drum", "ladder", "sled", "kettle"),
        },
        "steps": [
            "<open>",
            [
                "{hero.He} had a fine {mine}, but {hero.he} [wanted|dreamed of|talked of] {yours.a}.",
                "{hero.He} was tired of {hero.his} {mine}. If only it were {yours.a}!",
            ],
            "<meet>",
            [
                '"I will give you my {mine} for your {yours}," said {hero}. "Done," said {friend}, and they shook paws.',
                '"You have {yours.a}!" said {hero}. "Swap?" said {friend}, and took the {mine} [home|away|and ran].',
            ],
            [
                "But that night {hero} could not [fit|keep|enjoy] the {yours} in bed, and {friend} missed it.",
                "By evening {hero} had fallen off the {yours} twice, and {friend} had [bent|dented] the {mine}.",
            ],
            [
                '"Swap?" asked {friend}. "[Swap|Oh, yes|At last]!" said {hero}, and everybody was happy.',
                "Nobody said a word. They swapped back, and {hero} [kissed|polished|patted] the old {mine}.",
            ],
            "<end>",
        ],
    },
    "pit": {
        "tables": {
            "hole": ("well", "pit", "ditch", "tunnel"),
            "tool": ("rope", "scarf", "ladder", "blanket"),
        },
        "steps": [
            "<open>",
            [
                'Suddenly a voice called from below: "[Hello|Excuse me|Help, if you are not busy]!"',
                "Then {hero.he} heard [sneezing|sobbing|singing] from under the ground.",
            ],
            [
                "At the bottom of {hole.a} sat a {trait2} {friend.kind} called {friend}.",
                "{hero} looked down {hole.a}, and up looked {friend}, a {trait2} {friend.kind}.",
            ],
            [
                "{hero} fetched {tool.a} and let it down into the {hole}. It was too short.",
                "{hero} had {tool.a}, but it ended halfway down the {hole}.",
            ],
            [
                "So {hero.he} tied {hero.his} belt to the {tool} and pulled "
                "[and pulled|with all {hero.his} might|until it creaked].",
                "Then {hero.he} lay on {hero.his} belly, held the {tool} in {hero.his} teeth, and [hummed|waited|grew red].",
            ],
            [
                "Up came {friend} out of the {hole}, [singing|blinking|a little muddy].",
                "One, two, three, and {friend} [popped|flew|rolled] out of the {hole}.",
            ],
            [
                '"Thank you," said {friend}, and folded the {tool} neatly. "Mind the {hole}," {friend.he} added.'
            ],
            "<end>",
        ],
    },
    "letter": {
        "tables": {"feast": ("picnic", "party", "concert", "breakfast")},
        "steps": [
            "<open>",
            [
                "A letter [blew|fluttered|tumbled] down the path and stuck to {hero.his} nose.",
                "Out of the sky fell a letter, and it landed on {hero.his} head.",
            ],
            [
                'It said: "Come to my {feast}, and bring a friend." There was no name on it.',
                '"Dear friend," it said, "please come to the {feast}, and do not be late."',
            ],
            "<meet>",
            [
                '"Is this {feast} yours?" asked {hero}. {friend} turned [pink|away|very red].',
                '"I found this," said {hero}. "Who is having a {feast}?" {friend} [coughed|looked down|blushed].',
            ],
            [
                '"I wrote it," said {friend}. "I knew nobody, so I gave it to the wind."',
                '"It is mine," said {friend}. "I did not know [whom to ask|any names|where to send it]."',
            ],
            [
                "It was a very small {feast}, and a very good one, with [too much|just enough|hardly any] cake.",
                "So there was a {feast} for two, with [far too much|three kinds of|a mountain of] cake.",
            ],
            "<end>",
        ],
    },
    "moon": {
        "tables": {
            "tool": ("bucket", "net", "teapot", "basket"),
            "bowl": ("bowl", "jar", "cup", "bottle"),
        },
        "steps": [
            [
                "{hero} the {hero.kind} stood at the {place} on a {weather} night. The moon "
                "lay in the water, [round|soft|bright] "
                "as butter.",
                "One {weather} night {hero} the {hero.kind} saw the moon floating in the water near the {place}.",
            ],
            [
                '"I want it," said {hero}, and went to fetch {tool.a}.',
                '"You look lost," said {hero}, and [bravely|gently] tried to lift it out with {tool.a}.',
            ],
            [
                "Each time the {tool} came up, the moon [slipped out|broke|wobbled away].",
                "The {tool} came up full of water and [empty of|without any|with no] moon.",
            ],
            "<meet>",
            [
                '"It belongs to everybody," said {friend}, "but you may borrow some." {friend.He} filled {bowl.a} with water.',
                "{friend} did not laugh. {friend.He} filled {bowl.a} with water and put it on the grass.",
            ],
            [
                "And there in the {bowl} was the moon, small and [still|shy|shining].",
                "{hero} looked into the {bowl}, and the moon looked back.",
            ],
            [
                "They carried the {bowl} home [on tiptoe|without a word], and left the {tool} behind.",
                '"It fits in {bowl.a}," [breathed|laughed] {hero}, "and not in {tool.a}!"',
            ],
            "<end>",
        ],
    },
}
