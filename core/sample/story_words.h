// SPDX-License-Identifier: GPL-3.0-or-later
// The words that the stories of the sample are made of. For use inside this room.
#pragma once

#include <array>
#include <string_view>

namespace quantloupe::story_words {

using Word = std::string_view;

inline constexpr std::array<Word, 16> women {"Mila", "Nora", "Lily", "Ruby", "Daisy", "Ella", "Hazel", "Ivy", "Luna",
    "Molly", "Poppy", "Rosa", "Stella", "Tess", "Willa", "Zoe"};
inline constexpr std::array<Word, 16> men {"Ben", "Finn", "Leo", "Max", "Oscar", "Otto", "Sam", "Toby", "Theo", "Jack",
    "Milo", "Hugo", "Emil", "Pip", "Ned", "Gus"};
inline constexpr std::array<Word, 12> heroKinds {
    "fox", "mouse", "bear", "cat", "rabbit", "goat", "hen", "pig", "lamb", "donkey", "goose", "hare"};
inline constexpr std::array<Word, 8> traits {
    "kind", "brave", "shy", "curious", "clever", "gentle", "cheerful", "quiet"};
inline constexpr std::array<Word, 6> sizes {"little", "big", "young", "tall", "small", "wise"};
inline constexpr std::array<Word, 8> colors {"red", "blue", "green", "yellow", "white", "purple", "golden", "silver"};
inline constexpr std::array<Word, 20> things {"kite", "ball", "bell", "hat", "drum", "lamp", "boat", "ring", "shell",
    "book", "key", "cup", "flute", "scarf", "basket", "mirror", "button", "coin", "crown", "spoon"};
inline constexpr std::array<Word, 8> relatives {
    "mother", "father", "grandmother", "grandfather", "aunt", "uncle", "sister", "brother"};
inline constexpr std::array<Word, 10> foods {
    "apples", "berries", "nuts", "pears", "plums", "cookies", "pancakes", "carrots", "cherries", "honey cakes"};
inline constexpr std::array<Word, 12> homes {"in the forest", "in the meadow", "on the hill", "in the village",
    "on the farm", "in the valley", "on the island", "near the beach", "under the bridge", "in the garden",
    "behind the mill", "by the river"};
inline constexpr std::array<Word, 8> goals {
    "the market", "the lake", "the old tower", "the school", "the harbor", "the windmill", "the castle", "the fair"};
inline constexpr std::array<Word, 6> weathers {"sunny", "rainy", "windy", "snowy", "foggy", "cloudy"};
inline constexpr std::array<Word, 3> times {"morning", "afternoon", "evening"};
inline constexpr std::array<Word, 6> sadFeelings {"sad", "worried", "upset", "scared", "lonely", "angry"};
inline constexpr std::array<Word, 5> gladFeelings {"happy", "glad", "proud", "thankful", "cheerful"};

/// What happens to the thing, and who can do something about it.
struct Trouble {
    Word happens;                 ///< a sentence with placeholders
    Word where;                   ///< "My red kite is …"
    Word tries;                   ///< "Mila tried to …"
    Word because;                 ///< why that failed, a sentence
    Word ability;                 ///< "I can …"
    Word deed;                    ///< "Otto …"
    std::array<Word, 4> helpers;  ///< kinds of friends who are able to
};

inline constexpr std::array<Trouble, 6> troubles {{
    {"the wind blew the {thing} into a high tree", "up in a high tree", "climb the tree",
        "The branches were too thin for {him}.", "climb every tree", "climbed up to the highest branch",
        {"squirrel", "monkey", "parrot", "crow"}},
    {"the {thing} fell into the deep water", "down in the deep water", "swim after it",
        "The water was too cold for {him}.", "swim and dive", "dived down to the bottom of the water",
        {"frog", "duck", "seal", "beaver"}},
    {"the {thing} slid into a narrow hole", "down in a narrow hole", "reach into the hole",
        "The hole was too deep for {him}.", "dig through the ground", "dug a tunnel through the ground",
        {"mole", "badger", "dog", "worm"}},
    {"a heavy stone rolled onto the {thing}", "under a heavy stone", "push the stone away",
        "The stone was too heavy for {him}.", "lift heavy stones", "lifted the stone with one strong push",
        {"horse", "buffalo", "rhino", "bull"}},
    {"the {thing} got lost in a dark cave", "somewhere in a dark cave", "look into the cave",
        "The cave was too dark for {him}.", "see in the dark", "looked around in the dark cave",
        {"bat", "moth", "raccoon", "firefly"}},
    {"a sly thief took the {thing} and ran away", "in the bag of a sly thief", "run after the thief",
        "The thief was too fast for {him}.", "run like the wind", "ran down the road and caught the thief",
        {"deer", "wolf", "pony", "cheetah"}},
}};

}  // namespace quantloupe::story_words
