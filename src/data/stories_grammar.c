#include "data/stories_grammar.h"

#define RULES(domain)                                                                                        \
    {                                                                                                        \
#domain, domain##_lists,                                                                             \
            sizeof domain##_lists / sizeof domain##_lists[0], domain##_lines,                                \
                                                          sizeof domain##_lines / sizeof domain##_lines[0]   \
    }

/* clang-format off: one line a row */

static const struct story_list shared_lists[] = {
    {"name",
     "mira she her her/otto he his him/lena she her her/paul he his him/nora she her her/finn he his him/"
     "tessa she her her/hugo he his him/wanda she her her/karl he his him/ruby she her her/jonas he his him"},
    {"time", "morning/day/evening/afternoon/night"},
    {"how", "slowly/quickly/quietly/carefully/gladly/bravely/gently/suddenly"},
    {"kind", "small/big/strange/funny/lovely/quiet"},
    {"mood", "happy/proud/glad/merry/calm"},
    {"gloom", "sad/tired/cross/lonely/sorry"},
};

static const struct story_line shared_lines[] = {
    {STORY_OPENING, 4, "one ~time +name went to the +place .", STORY_WISH},
    {STORY_OPENING, 3, "+name lived near the +place .", STORY_WISH},
    {STORY_OPENING, 3, "there was a ~kind child named +name who loved the +place .", STORY_WISH},
    {STORY_OPENING, 2, "every ~time +name walked ~how to the +place .", STORY_WISH},

    {STORY_MEETING, 4, "soon a ~kind +friend came by .", STORY_EVENTS},
    {STORY_MEETING, 3, "$name.1 asked the +friend for help .", STORY_EVENTS},
    {STORY_MEETING, 2, "a +friend from the $place joined $name.3 ~how .", STORY_EVENTS},

    {STORY_EVENTS, 2, "the $friend brought the $friend.1 .", STORY_EVENTS},
    {STORY_EVENTS, 1, "$name.1 felt ~mood that ~time .", STORY_EVENTS},

    {STORY_TROUBLE, 3, "$name.1 looked behind the $place with the $friend.1 .", STORY_TROUBLE},
    {STORY_TROUBLE, 2, "all ~time $name felt ~gloom .", STORY_TROUBLE},
    {STORY_TROUBLE, 4, "then the $friend had a ~kind idea .", STORY_GOOD_ENDING},
    {STORY_TROUBLE, 3, "nobody could help , not even the $friend .", STORY_BAD_ENDING},

    {STORY_GOOD_ENDING, 3, "in the end $name was ~mood .", STORY_END},
    {STORY_GOOD_ENDING, 3, "$name thanked the $friend ~how and went home .", STORY_END},
    {STORY_GOOD_ENDING, 2, "the $friend and $name stayed friends .", STORY_END},

    {STORY_BAD_ENDING, 3, "$name went home ~gloom and alone .", STORY_END},
    {STORY_BAD_ENDING, 2, "that ~time the $place was empty and $name was ~gloom .", STORY_END},
};

static const struct story_list animals_lists[] = {
    {"place", "farm/forest/meadow/barn/pond"},
    {"thing", "rabbit soft hopped/fox red ran/duck white swam/horse brown galloped/goat gray jumped/kitten "
              "tiny slept"},
    {"friend", "farmer rope/shepherd flute/ranger lantern/vet bandage"},
    {"item", "hay/corn/seeds/carrots/milk"},
    {"verb", "fed/brushed/followed/petted/watched"},
};

static const struct story_line animals_lines[] = {
    {STORY_WISH, 3, "$name.1 saw a ~kind +thing there .", STORY_MEETING},
    {STORY_WISH, 2, "in the $place lived a +thing that ate ~item .", STORY_MEETING},
    {STORY_WISH, 2, "$name had a +thing at home .", STORY_MEETING},

    {STORY_EVENTS, 4, "$name ~verb the $thing ~how .", STORY_EVENTS},
    {STORY_EVENTS, 3, "the $thing.1 $thing $thing.2 ~how near the $place .", STORY_EVENTS},
    {STORY_EVENTS, 3, "$name.1 gave it some ~item and it $thing.2 again .", STORY_EVENTS},
    {STORY_EVENTS, 2, "the $friend ~verb it too .", STORY_EVENTS},
    {STORY_EVENTS, 3, "at last the $thing ate the ~item .", STORY_GOOD_ENDING},
    {STORY_EVENTS, 4, "but then the $thing ran away ~how .", STORY_TROUBLE},

    {STORY_TROUBLE, 3, "they called the $thing.1 $thing with some ~item .", STORY_TROUBLE},
    {STORY_GOOD_ENDING, 3, "the $thing.1 $thing $thing.2 back to $name .", STORY_END},
    {STORY_BAD_ENDING, 3, "$name.1 never saw the $thing.1 $thing again .", STORY_END},
};

static const struct story_list kitchen_lists[] = {
    {"place", "kitchen/bakery/pantry/cellar"},
    {"thing", "cake sweet frosted/pie golden filled/stew thick cooked/loaf warm baked/pancake round flipped/"
              "pudding creamy chilled"},
    {"friend", "cook ladle/baker apron/grandmother recipe/neighbor basket"},
    {"item", "flour/sugar/butter/salt/honey/pepper"},
    {"verb", "stirred/mixed/tasted/poured/measured"},
};

static const struct story_line kitchen_lines[] = {
    {STORY_WISH, 3, "$name.1 wanted to make a ~kind +thing .", STORY_MEETING},
    {STORY_WISH, 2, "$name was hungry for a +thing with ~item .", STORY_MEETING},
    {STORY_WISH, 2, "on the table stood a +thing without ~item .", STORY_MEETING},

    {STORY_EVENTS, 4, "$name.1 ~verb the ~item ~how .", STORY_EVENTS},
    {STORY_EVENTS, 3, "$name put ~item and ~item into a ~kind bowl .", STORY_EVENTS},
    {STORY_EVENTS, 2, "the $friend $thing.2 the $thing in the $place .", STORY_EVENTS},
    {STORY_EVENTS, 2, "we need more ~item , said the $friend ~how .", STORY_EVENTS},
    {STORY_EVENTS, 4, "at last the $thing.1 $thing was ready .", STORY_GOOD_ENDING},
    {STORY_EVENTS, 3, "but the oven burned the $thing .", STORY_TROUBLE},

    {STORY_TROUBLE, 2, "$name $thing.2 another $thing with more ~item .", STORY_TROUBLE},
    {STORY_GOOD_ENDING, 3, "they ate the $thing.1 $thing ~how in the $place .", STORY_END},
    {STORY_BAD_ENDING, 2, "the $thing tasted like ~item .", STORY_END},
};

static const struct story_list weather_lists[] = {
    {"place", "hill/valley/bridge/tower"},
    {"thing", "storm dark roared/fog gray spread/blizzard white raged/shower wet fell/breeze cool sang/gale "
              "wild howled"},
    {"friend", "traveler blanket/pilot compass/postman whistle/hiker lantern"},
    {"item", "coat/scarf/hat/boots/gloves"},
    {"sky", "sun/clouds/moon/stars/rainbow"},
    {"verb", "shook/bent/covered/froze/washed"},
    {"target", "trees/roofs/fields/roads/windows/fences"},
};

static const struct story_line weather_lines[] = {
    {STORY_WISH, 3, "from the north came a +thing .", STORY_MEETING},
    {STORY_WISH, 2, "$name looked at the ~sky and feared a +thing .", STORY_MEETING},
    {STORY_WISH, 2, "a ~kind +thing hid the ~sky .", STORY_MEETING},

    {STORY_EVENTS, 4, "the $thing.1 $thing ~verb the ~target .", STORY_EVENTS},
    {STORY_EVENTS, 3, "over the $place the $thing $thing.2 all ~time .", STORY_EVENTS},
    {STORY_EVENTS, 3, "$name put on $name.2 ~item ~how .", STORY_EVENTS},
    {STORY_EVENTS, 2, "the $friend hid under the ~target .", STORY_EVENTS},
    {STORY_EVENTS, 3, "at last the ~sky came out .", STORY_GOOD_ENDING},
    {STORY_EVENTS, 3, "but the $thing took the ~item away .", STORY_TROUBLE},

    {STORY_TROUBLE, 2, "still the $thing $thing.2 over the ~target .", STORY_TROUBLE},
    {STORY_GOOD_ENDING, 3, "above the $place shone the ~sky and the $thing was over .", STORY_END},
    {STORY_BAD_ENDING, 3, "the $thing $thing.2 until ~time .", STORY_END},
};

static const struct story_list school_lists[] = {
    {"place", "classroom/library/playground/gym"},
    {"thing", "book long read/drawing bright colored/song cheerful sang/poem short wrote/riddle hard solved/"
              "map large studied"},
    {"friend", "teacher chalk/classmate pencil/librarian card/janitor broom"},
    {"item", "numbers/letters/words/names/colors"},
    {"verb", "learned/counted/copied/explained/answered"},
    {"when", "monday/friday/tuesday/thursday"},
};

static const struct story_line school_lines[] = {
    {STORY_WISH, 3, "on ~when the class got a ~kind +thing .", STORY_MEETING},
    {STORY_WISH, 2, "$name.2 task for ~when was a +thing about ~item .", STORY_MEETING},
    {STORY_WISH, 2, "$name.1 found a +thing in the $place .", STORY_MEETING},

    {STORY_EVENTS, 3, "$name $thing.2 the $thing ~how .", STORY_EVENTS},
    {STORY_EVENTS, 3, "in the $place they ~verb the ~item until ~when .", STORY_EVENTS},
    {STORY_EVENTS, 2, "is the $thing too $thing.1 , asked the $friend ~how .", STORY_EVENTS},
    {STORY_EVENTS, 3, "$name.1 ~verb ~item and ~item .", STORY_EVENTS},
    {STORY_EVENTS, 3, "on ~when the $thing was done .", STORY_GOOD_ENDING},
    {STORY_EVENTS, 3, "but $name forgot the ~item .", STORY_TROUBLE},

    {STORY_TROUBLE, 3, "$name $thing.2 the $thing.1 $thing once more .", STORY_TROUBLE},
    {STORY_GOOD_ENDING, 3, "everybody in the $place liked the $thing.1 $thing .", STORY_END},
    {STORY_BAD_ENDING, 2, "the $thing stayed in the $place until ~when .", STORY_END},
};

static const struct story_list sea_lists[] = {
    {"place", "beach/harbor/island/lighthouse"},
    {"thing", "boat blue sailed/whale huge dived/turtle green swam/crab red crawled/dolphin clever leaped/"
              "seal shiny rested"},
    {"friend", "captain telescope/sailor anchor/fisherman net/diver mask"},
    {"item", "waves/rocks/sand/shells/foam/seaweed"},
    {"verb", "rowed/drifted/floated/waded/paddled"},
    {"side", "east/west/south/north"},
};

static const struct story_line sea_lines[] = {
    {STORY_WISH, 3, "out in the waves was a ~kind +thing .", STORY_MEETING},
    {STORY_WISH, 2, "$name.1 dreamed of a +thing from the ~side .", STORY_MEETING},
    {STORY_WISH, 2, "the tide carried a +thing over the ~item .", STORY_MEETING},

    {STORY_EVENTS, 4, "$name ~verb ~side past the ~item .", STORY_EVENTS},
    {STORY_EVENTS, 3, "the $thing.1 $thing $thing.2 between the ~item .", STORY_EVENTS},
    {STORY_EVENTS, 3, "look ~side , cried the $friend ~how .", STORY_EVENTS},
    {STORY_EVENTS, 2, "$name.1 and the $friend ~verb around the $place .", STORY_EVENTS},
    {STORY_EVENTS, 3, "at last the $thing $thing.2 to the $place .", STORY_GOOD_ENDING},
    {STORY_EVENTS, 3, "but the ~item stopped the $thing .", STORY_TROUBLE},

    {STORY_TROUBLE, 3, "the water rose over the ~item and the ~item .", STORY_TROUBLE},
    {STORY_GOOD_ENDING, 3, "with the $thing.1 $thing they ~verb home ~how .", STORY_END},
    {STORY_BAD_ENDING, 3, "the $thing.1 $thing $thing.2 ~side into the dark .", STORY_END},
};

static const struct story_list market_lists[] = {
    {"place", "square/shop/street/fair"},
    {"thing", "drum loud played/lamp golden lit/carpet striped unrolled/kite light flew/melon ripe sliced/"
              "ring silver wore"},
    {"friend", "merchant purse/tailor needle/guard spear/juggler ball"},
    {"count", "two/three/five/seven/ten/nine"},
    {"coin", "coins/nuts/buttons/eggs/pearls"},
    {"verb", "bought/sold/traded/carried/wrapped"},
};

static const struct story_line market_lines[] = {
    {STORY_WISH, 3, "$name.1 needed a ~kind +thing for ~count ~coin .", STORY_MEETING},
    {STORY_WISH, 2, "somebody in the $place sold a +thing .", STORY_MEETING},
    {STORY_WISH, 2, "$name dropped a +thing in the $place .", STORY_MEETING},

    {STORY_EVENTS, 4, "$name ~verb ~count ~coin ~how .", STORY_EVENTS},
    {STORY_EVENTS, 3, "give me ~count ~coin , said the $friend .", STORY_EVENTS},
    {STORY_EVENTS, 3, "$name.1 $thing.2 the $thing.1 $thing in the $place .", STORY_EVENTS},
    {STORY_EVENTS, 2, "the $friend ~verb it for ~count ~coin .", STORY_EVENTS},
    {STORY_EVENTS, 3, "at last $name paid ~count ~coin for the $thing .", STORY_GOOD_ENDING},
    {STORY_EVENTS, 3, "but a thief took the $thing and ~count ~coin .", STORY_TROUBLE},

    {STORY_TROUBLE, 2, "they asked for the $thing.1 $thing in every street .", STORY_TROUBLE},
    {STORY_GOOD_ENDING, 3, "at home $name $thing.2 the $thing ~how .", STORY_END},
    {STORY_BAD_ENDING, 3, "the $thing.1 $thing cost ~count ~coin more .", STORY_END},
};

/* clang-format on */

const struct story_rules story_shared_rules = RULES(shared);

const struct story_rules story_domain_rules[STORY_DOMAINS] = {
    RULES(animals), RULES(kitchen), RULES(weather), RULES(school), RULES(sea), RULES(market),
};
