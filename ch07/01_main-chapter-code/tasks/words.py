"""The words and sentences that `plain_kinds.py` makes instructions of. One row is one fact: its
uses share a source.
"""


def _rows(text, separator=None):
    return [
        tuple(part.strip() for part in line.split(separator)) for line in text.strip().splitlines()
    ]


# (right/wrong): one word of each sentence is easily misspelt.
SPELLING = """
The (calendar/calender) behind the door still shows last year.
We waited a week to (receive/recieve) an answer.
Please keep the two piles (separate/seperate).
It is (definitely/definately) colder in the cellar.
The boat came loose without any (warning/warnning).
Her (neighbour/nieghbour) grows beans on the balcony.
There was no (necessary/neccessary) tool in the box.
They had a long (argument/arguement) about the map.
The museum opens again in (February/Febuary).
I (believe/beleive) the bridge was painted in spring.
He bought a used (bicycle/bycicle) for the summer.
The library is a quiet (building/bilding) by the canal.
A stranger asked for the nearest (restaurant/restaurent).
The (government/goverment) built a new dam.
Nobody could (pronounce/prononce) the name of the village.
The soup needs salt, pepper and (patience/patiance).
She wrote her (address/adress) on the parcel.
It rained (until/untill) the cellar was full.
The twins met by (accident/accidant) at the station.
My (favourite/favorate) chair has three legs.
The (weird/wierd) noise came from the fridge.
We saw a (beautiful/beautifull) rainbow over the quarry.
The (foreign/foriegn) coins lay in a jar.
Tie the (knot/knott) twice before you pull.
The clock has a small (piece/peice) missing.
All the shops closed (because/becuase) of the storm.
The race was (really/realy) close this time.
His (knowledge/knowlege) of mosses is famous.
The (committee/comittee) meets on the first floor.
The ladder leans against the (chimney/chimeny).
I have not seen him (since/sinse) the harvest.
A (thousand/thousend) bees left the hive.
They were (surprised/suprised) by the early snow.
The (scissors/scisors) are in the top drawer.
Our (kitchen/kichen) window faces the yard.
The (vegetable/vegtable) stall sells purple carrots.
He (whispered/wispered) the answer to his sister.
The (island/iland) has one road and two goats.
The (temperature/temprature) fell during the night.
We (finally/finaly) found the key in the oven.
The old (castle/cassle) has a dry well.
The (library/libary) lends out umbrellas, too.
My (grandfather/granfather) repairs accordions.
The (medicine/medecine) tastes of aniseed.
A (height/hieght) of two metres is enough.
The (business/buisness) sells nothing but buttons.
You may (choose/chooze) one plate from the shelf.
The (journey/jorney) took them over three passes.
She plays the (rhythm/rythm) with two spoons.
The (lightning/lightening) split the old pear tree.
The (answer/anser) was written under the lid.
Many (tomatoes/tomatos) ripened in September.
He was (grateful/greatful) for the dry socks.
It is a (privilege/priviledge) to feed the owl.
The recipe asks for a (quarter/quater) of a lemon.
The (language/langauge) has eleven words for fog.
The bus leaves from the other (entrance/enterance).
Their quarrel about soup lasted all (evening/evning).
The (skeleton/skelleton) of a whale hangs in the hall.
Do not (disturb/desturb) the hens at night.
The tailor took each (measurement/mesurement) twice.
The (orchestra/orchastra) tuned for an hour.
The guide was (familiar/familar) with every cave.
""".strip().splitlines()

# (right/wrong): agreement, articles, pronouns, comparison, word order, confused words.
GRAMMAR = """
The boxes on the cart (are/is) full of apples.
Each of the lamps (has/have) a green shade.
She (doesn't/don't) like cold tea.
He gave the letter to my brother and (me/I).
This is (an/a) honest mistake.
They painted (an/a) umbrella on the wall.
There (are/is) three spoons in the drawer.
The dog wagged (its/it's) tail.
(It's/Its) too late to catch the ferry.
(Your/You're) coat is on the wrong hook.
(They're/Their) going to the lake by train.
The girls left (their/there) boots outside.
This path is (longer/more long) than the other.
That was the (worst/baddest) film of the year.
He sings (well/good) when nobody listens.
I have (fewer/less) coins than you.
We (were/was) asleep when the bell rang.
Nobody (knows/know) where the river begins.
My uncle (has lived/lives) here since 1999.
If I (were/am) a bird, I would fly home.
She has (written/wrote) two letters today.
The sun (rose/rised) behind the mill.
He (taught/teached) her to whistle.
The children (brought/bringed) their own plates.
I would (have/of) waited for you.
The scissors (are/is) on the table.
The news (is/are) good today.
Neither of the keys (fits/fit) the lock.
The man (who/which) sold us the boat has moved away.
We drove more (slowly/slow) because of the fog.
She is taller (than/then) her brother.
He did not see (anything/nothing) in the dark.
Mathematics (is/are) her best subject.
The sheep on the hill (were/was) all asleep.
(Whose/Who's) glove is this?
I saw (him/he) at the bakery.
The mice have (eaten/ate) the cheese.
You must (be/are) quiet in the tower.
They have (gone/went) to the market.
He asked me where I (lived/did live).
We have known each other (for/since) ten years.
The (women/womans) carried the piano.
One of my teeth (hurts/hurt).
She (sat/sitted) on the warm wall.
There is (a/an) university in the next town.
The cake (smells/smell) of oranges.
The geese (fly/flies) south in autumn.
He runs faster than (anybody/nobody) else.
My trousers (are/is) too short.
Tom and his cousin (share/shares) a room.
How much (does/do) this hat cost?
She (can/cans) hear the sea from her bed.
I look forward to (seeing/see) you.
He is good (at/in) drawing horses.
The train arrives (at/on) noon.
My birthday is (in/on) October.
We (went/goed) swimming before breakfast.
I (have/has) forgotten the name of the street.
Both windows (were/was) open all night.
""".strip().splitlines()

# base, he form, past, participle | object | is or are
ACTIONS = [
    tuple(forms.split()) + (thing.strip(), number.strip())
    for forms, thing, number in _rows(
        """
bake bakes baked baked | the birthday cake | is
break breaks broke broken | the blue cup | is
bring brings brought brought | the heavy suitcase | is
build builds built built | the stone wall | is
buy buys bought bought | the silver ring | is
catch catches caught caught | the last fish | is
choose chooses chose chosen | the yellow paint | is
clean cleans cleaned cleaned | the dusty windows | are
close closes closed closed | the garden gate | is
collect collects collected collected | the fallen leaves | are
cook cooks cooked cooked | the onion soup | is
count counts counted counted | the copper coins | are
cover covers covered covered | the rose bushes | are
draw draws drew drawn | the new map | is
drink drinks drank drunk | the cold milk | is
drive drives drove driven | the night bus | is
eat eats ate eaten | the ripe plums | are
feed feeds fed fed | the hungry geese | are
fill fills filled filled | the water bottles | are
find finds found found | the lost glove | is
fold folds folded folded | the white sheets | are
forget forgets forgot forgotten | the secret number | is
give gives gave given | the opening speech | is
grow grows grew grown | the giant pumpkins | are
hang hangs hung hung | the winter coats | are
hear hears heard heard | the church bells | are
hide hides hid hidden | the golden key | is
hold holds held held | the long ladder | is
invite invites invited invited | the whole street | is
keep keeps kept kept | the love letters | are
know knows knew known | the right answer | is
lead leads led led | the hiking group | is
light lights lit lit | the paper lanterns | are
lock locks locked locked | the back door | is
mend mends mended mended | the torn sail | is
move moves moved moved | the grand piano | is
open opens opened opened | the wooden chest | is
pack packs packed packed | the picnic basket | is
paint paints painted painted | the kitchen chairs | are
peel peels peeled peeled | the small potatoes | are
pick picks picked picked | the sour cherries | are
plant plants planted planted | the apple trees | are
polish polishes polished polished | the brass handles | are
post posts posted posted | the thick envelope | is
read reads read read | the evening paper | is
repair repairs repaired repaired | the broken clock | is
ring rings rang rung | the dinner bell | is
sell sells sold sold | the wool blankets | are
send sends sent sent | the second parcel | is
sew sews sewed sewn | the velvet curtains | are
shut shuts shut shut | the iron shutters | are
sing sings sang sung | the old song | is
steal steals stole stolen | the red bicycle | is
sweep sweeps swept swept | the school yard | is
take takes took taken | the wrong train | is
teach teaches taught taught | the dance class | is
throw throws threw thrown | the rubber ball | is
tie ties tied tied | the climbing rope | is
wash washes washed washed | the muddy boots | are
water waters watered watered | the bean plants | are
wear wears wore worn | the straw hat | is
win wins won won | the chess game | is
write writes wrote written | the long report | is
""",
        "|",
    )
]
SUBJECTS = [
    "The baker",
    "My aunt",
    "Our teacher",
    "The captain",
    "Her cousin",
    "The neighbour",
    "The tall nurse",
    "Leo",
    "Hanna",
    "The new pupil",
    "His sister",
    "The gardener",
    "The old sailor",
    "Emil",
    "Clara",
    "The postman",
    "Our guest",
    "Their uncle",
    "The young doctor",
    "The tailor",
]

PLURALS = _rows("""
child children
mouse mice
foot feet
tooth teeth
goose geese
man men
woman women
ox oxen
leaf leaves
knife knives
wife wives
shelf shelves
loaf loaves
wolf wolves
half halves
thief thieves
calf calves
life lives
city cities
berry berries
baby babies
story stories
fly flies
cherry cherries
family families
penguin penguins
box boxes
bus buses
church churches
dish dishes
fox foxes
glass glasses
watch watches
brush brushes
peach peaches
hero heroes
potato potatoes
tomato tomatoes
echo echoes
piano pianos
photo photos
radio radios
roof roofs
cliff cliffs
chief chiefs
key keys
monkey monkeys
valley valleys
toy toys
day days
sheep sheep
deer deer
louse lice
lady ladies
country countries
bench benches
sandwich sandwiches
witch witches
kangaroo kangaroos
daisy daisies
""")

COMPARISON = _rows(
    """
big, bigger, biggest
good, better, best
bad, worse, worst
happy, happier, happiest
thin, thinner, thinnest
hot, hotter, hottest
easy, easier, easiest
busy, busier, busiest
large, larger, largest
wet, wetter, wettest
dry, drier, driest
late, later, latest
early, earlier, earliest
nice, nicer, nicest
heavy, heavier, heaviest
fat, fatter, fattest
flat, flatter, flattest
sad, sadder, saddest
lazy, lazier, laziest
noisy, noisier, noisiest
pretty, prettier, prettiest
tidy, tidier, tidiest
lucky, luckier, luckiest
hungry, hungrier, hungriest
warm, warmer, warmest
cold, colder, coldest
short, shorter, shortest
tall, taller, tallest
strong, stronger, strongest
weak, weaker, weakest
deep, deeper, deepest
high, higher, highest
low, lower, lowest
wide, wider, widest
brave, braver, bravest
wise, wiser, wisest
safe, safer, safest
rich, richer, richest
young, younger, youngest
beautiful, more beautiful, most beautiful
careful, more careful, most careful
difficult, more difficult, most difficult
expensive, more expensive, most expensive
dangerous, more dangerous, most dangerous
interesting, more interesting, most interesting
comfortable, more comfortable, most comfortable
important, more important, most important
famous, more famous, most famous
patient, more patient, most patient
curious, more curious, most curious
""",
    ",",
)

OPPOSITES = _rows("""
hot cold
early late
empty full
heavy light
wide narrow
deep shallow
loud quiet
rough smooth
sharp blunt
wet dry
thick thin
fast slow
strong weak
young old
rich poor
clean dirty
brave cowardly
generous stingy
polite rude
patient impatient
possible impossible
visible invisible
cheap expensive
safe dangerous
awake asleep
guilty innocent
simple complicated
tight loose
bitter sweet
always never
above below
before after
inside outside
begin end
arrive depart
build destroy
buy sell
lend borrow
push pull
laugh cry
remember forget
open close
win lose
ask answer
float sink
freeze melt
accept refuse
attack defend
increase decrease
hide show
praise blame
love hate
friend enemy
summer winter
day night
top bottom
entrance exit
north south
east west
war peace
truth lie
giant dwarf
temporary permanent
import export
maximum minimum
major minor
public private
artificial natural
""")

SYNONYMS = _rows("""
begin start
quick fast
glad happy
large big
small little
shut closed
angry furious
silent quiet
odd strange
correct right
wealthy rich
difficult hard
frightened afraid
sick ill
tired weary
clever smart
courageous brave
repair mend
choose select
gather collect
allow permit
assist help
conceal hide
purchase buy
reply answer
shout yell
stumble trip
speak talk
weep cry
leap jump
hurl throw
construct build
depart leave
discover find
wander roam
finish complete
infant baby
present gift
journey voyage
woods forest
stone rock
error mistake
road street
rubbish trash
doctor physician
sailor seaman
price cost
meal dish
noise din
odour smell
aim goal
centre middle
edge rim
summit peak
fib lie
liberty freedom
companion friend
nearly almost
seldom rarely
frequently often
""")

CATEGORIES = {
    name.strip(): words.split()
    for name, words in _rows(
        """
fruit: apple pear banana grape mango strawberry raspberry melon fig cherry quince pineapple
tool: hammer saw screwdriver pliers chisel drill spanner axe shovel rake wrench file
bird: sparrow eagle robin swan parrot penguin heron owl falcon pigeon stork gull
fish: trout salmon herring carp shark eel cod tuna pike mackerel anchovy sardine
insect: ant bee wasp beetle butterfly mosquito grasshopper moth ladybird dragonfly termite
colour: red blue green yellow purple brown black white grey pink beige turquoise
instrument: violin piano flute trumpet drum harp guitar cello clarinet oboe tuba accordion
tree: oak birch willow pine maple beech spruce larch poplar ash elm cedar
vehicle: car bus tram lorry bicycle train tractor motorbike scooter van ambulance taxi
garment: shirt coat trousers skirt jumper sock scarf glove jacket blouse cap dress
month: January February April June July August September October November December
metal: iron copper tin zinc nickel aluminium platinum titanium chromium
country: France Japan Brazil Kenya Norway Canada Egypt India Peru Poland Vietnam Portugal
furniture: table chair sofa bed wardrobe shelf desk stool bench cupboard armchair sideboard
drink: tea coffee milk juice water lemonade cocoa wine beer cider
shape: circle square triangle rectangle hexagon pentagon oval rhombus octagon trapezium
part of the body: liver lung kidney stomach brain skin elbow knee wrist thumb
sport: tennis football rowing boxing hockey judo golf rugby fencing volleyball
""",
        ":",
    )
}

# Relations of pairs; the first pair is always the example and never asked.
ANALOGIES = [
    [tuple(pair.split()) for pair in line.split(",")]
    for line in """
puppy dog, kitten cat, calf cow, foal horse, lamb sheep, chick hen, cub bear, duckling duck, cygnet swan, tadpole frog
barks dog, meows cat, moos cow, neighs horse, quacks duck, buzzes bee, roars lion, oinks pig, hoots owl, bleats sheep
bakes baker, paints painter, sings singer, teaches teacher, dances dancer, writes writer, drives driver, swims swimmer
saw carpenter, scissors hairdresser, oven baker, brush painter, stethoscope doctor, plough farmer, needle tailor, anvil blacksmith
bees hive, birds nest, dogs kennel, spiders web, ants anthill, cows barn, bears den, rabbits burrow, horses stable
hand glove, foot sock, head hat, neck scarf, finger ring, waist belt, wrist bracelet, eyes glasses
see eyes, hear ears, smell nose, taste tongue, chew teeth, breathe lungs, think brain, walk legs
page book, petal flower, key piano, wheel car, room house, branch tree, letter word, island archipelago, student class
wool sheep, milk cow, honey bee, eggs hen, silk silkworm, feathers bird, pearls oyster
ice cold, fire hot, sugar sweet, lemon sour, feather light, lead heavy, sponge soft, knife sharp, night dark
ship captain, school headteacher, orchestra conductor, kitchen chef, court judge, library librarian, plane pilot
three triangle, four square, five pentagon, six hexagon, eight octagon
cold thermometer, time clock, weight scales, direction compass, length ruler, speed speedometer
bread bakery, meat butchery, books library, paintings gallery, films cinema, medicine pharmacy, planes airport
""".strip().splitlines()
]

RHYMES = [
    line.split()
    for line in """
cat hat mat bat
moon spoon soon tune
leaf beef thief brief
tree key sea free
night light kite white
cake snake lake break
stone bone phone alone
rain train lane plane
bell shell smell well
ring king sing wing
mouse house blouse
boat coat goat note
star car far jar
nose rose toes goes
bear chair hair pear
duck truck luck stuck
book cook look hook
fish dish wish
sock clock rock lock
bed red head bread
hill mill pill still
sand hand land band
ball wall tall small
drum thumb come plum
brown town clown crown
boy toy joy enjoy
dust rust must trust
bird word heard third
door floor four more
pie sky fly high
ship lip trip skip
nest best west guest
bug mug rug hug
tent cent went bent
""".strip().splitlines()
]

NAMES = [
    "Ayla",
    "Bruno",
    "Carla",
    "Dario",
    "Elif",
    "Frida",
    "Goran",
    "Hilde",
    "Ismet",
    "Jonas",
    "Kaya",
    "Lena",
    "Marek",
    "Nina",
    "Oskar",
    "Paula",
    "Quentin",
    "Ruth",
    "Sami",
    "Tessa",
    "Umar",
    "Vera",
    "Wanda",
    "Yusuf",
    "Zora",
]
CITIES = [
    "Oslo",
    "Lisbon",
    "Prague",
    "Dublin",
    "Athens",
    "Vienna",
    "Cairo",
    "Lima",
    "Tokyo",
    "Nairobi",
    "Warsaw",
    "Madrid",
]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
GOODS = [
    "apples",
    "buttons",
    "candles",
    "marbles",
    "postcards",
    "pencils",
    "stamps",
    "walnuts",
    "shells",
    "cards",
    "lanterns",
    "tiles",
]
PLAIN_WORDS = """
anchor basket blanket bottle branch bridge bucket button candle carpet cellar circus coffee cotton
curtain dragon engine feather fiddle flower forest garden ginger hammer harbour honey island jungle
kettle kitten ladder lantern lemon letter magnet marble meadow mirror monkey needle orange paddle
parrot pebble pencil pepper pillow planet pocket puzzle rabbit ribbon rocket saddle shadow silver
spider spring statue sugar summer temple thunder ticket tunnel turnip velvet village walnut window
winter wizard yellow
""".split()
