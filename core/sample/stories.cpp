// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/sample/stories.h"

#include "core/sample/story_words.h"

#include <cctype>
#include <map>
#include <span>
#include <string_view>

namespace quantloupe {
namespace {

namespace words = story_words;
using words::Word;

/// One way or another to say the same. Placeholders stand for the choices of the story; one that begins with a capital
/// gives the word with a capital.
constexpr Word beginnings[] {
    "Once upon a time there was a {trait} {kind} named {hero}.",
    "{hero} was a {trait} {kind}.",
    "There once lived a {trait} {kind}. {His} name was {hero}.",
    "This is the story of {hero}, a {trait} {kind}.",
};
constexpr Word homes[] {
    "{He} lived {home} with {his} {relative}.",
    "{hero} and {his} {relative} lived {home}.",
    "{His} house stood {home}, and {he} shared it with {his} {relative}.",
};
constexpr Word treasures[] {
    "{hero} had a {color} {thing} that {he} loved very much.",
    "More than anything {he} loved {his} {color} {thing}.",
    "{His} {relative} had given {him} a {color} {thing}.",
};
constexpr Word days[] {
    "One {weather} {time} {hero} took the {color} {thing} and a bag of {food} and walked to {goal}.",
    "It was a {weather} {time}, and {hero} wanted to go to {goal}. {He} packed some {food} and the {thing}.",
    "On a {weather} {time} {he} set out for {goal} with the {thing} in one hand and some {food} in the other.",
};
constexpr Word troubles[] {
    "But on the way {happens}.",
    "Then {happens}.",
    "Suddenly {happens}.",
    "{He} had almost reached {goal} when {happens}.",
};
constexpr Word attempts[] {
    "{hero} tried to {tries}, but {he} could not. {because}",
    "{He} wanted to {tries}. {because}",
    "First {he} tried to {tries}. {because}",
};
constexpr Word sorrows[] {
    "{hero} felt very {sad}.",
    "{He} sat down and was {sad}.",
    "Now {hero} was {sad}, and {he} began to cry.",
};
constexpr Word meetings[] {
    "Just then a {size} {helper} came along. {Fhis} name was {friend}.",
    "A {size} {helper} named {friend} heard {him}.",
    "After a while {he} met {friend}, a {size} {helper}.",
};
constexpr Word questions[] {
    "\"Why are you so {sad}, {hero}?\" asked {friend}.",
    "\"What is the matter?\" asked the {helper}.",
    "\"Can I help you?\" said {friend}.",
};
constexpr Word answers[] {
    "\"My {color} {thing} is {where},\" said {hero}.",
    "\"I cannot get my {thing}. It is {where},\" said the {kind}.",
    "{hero} told {fhim} that the {thing} was {where}.",
};
constexpr Word offers[] {
    "\"I can {ability},\" said {friend}. \"Let me help you.\"",
    "\"Do not be {sad}. I am a {helper}, and I can {ability},\" said {friend}.",
    "\"Every {helper} can {ability},\" said {friend} with a smile.",
};
constexpr Word deeds[] {
    "{friend} {deed} and came back with the {color} {thing}.",
    "So the {helper} {deed}. Soon {fhe} held the {thing} in {fhis} hands.",
    "Then {friend} {deed}, and there was the {color} {thing}.",
};
constexpr Word thanks[] {
    "\"Thank you, {friend}!\" said {hero}. \"You are a good friend.\"",
    "{hero} was so {glad} that {he} danced. \"Thank you!\" {he} said.",
    "Now {hero} was {glad} again, and {he} thanked the {helper}.",
};
constexpr Word meals[] {
    "{He} gave {friend} half of the {food}.",
    "They sat down together and ate the {food}.",
    "{hero} opened {his} bag, and they shared the {food}.",
};
constexpr Word walks[] {
    "Then they went to {goal} together.",
    "It was still {weather} when they reached {goal}.",
    "{friend} came along to {goal}.",
};
constexpr Word endings[] {
    "At home {hero} told {his} {relative} about the {helper}.",
    "From that {time} on the {kind} and the {helper} were friends.",
    "{hero} never forgot what {friend} had done, and {he} took good care of the {color} {thing}.",
    "When {his} {relative} heard the story, {hero} was {glad} to have a friend like {friend}.",
};

struct Part {
    std::span<const Word> ways;
    unsigned oneIn = 0;  ///< left out in one of so many stories; 0: never
};
constexpr Part parts[] {{beginnings}, {homes, 6}, {treasures}, {days}, {troubles}, {attempts, 4}, {sorrows}, {meetings},
    {questions, 4}, {answers}, {offers}, {deeds}, {thanks}, {meals, 3}, {walks, 3}, {endings}};

/// An index below `count`. Not std::uniform_int_distribution, which libraries do differently.
std::size_t draw(std::mt19937_64& random, std::size_t count)
{
    return static_cast<std::size_t>(((random() >> 32U) * count) >> 32U);
}

template<class List>
const auto& anyOf(std::mt19937_64& random, const List& list)
{
    return list[draw(random, list.size())];
}

/// What a story has chosen, by placeholder.
using Choices = std::map<Word, Word>;

/// Placeholders of a person.
struct Person {
    Word name, he, him, his;
};
constexpr Person kHero {"hero", "he", "him", "his"}, kFriend {"friend", "fhe", "fhim", "fhis"};

void choosePerson(std::mt19937_64& random, const Person& person, Choices& choices)
{
    const bool woman = draw(random, 2) == 1;
    choices[person.name] = anyOf(random, woman ? words::women : words::men);
    choices[person.he] = woman ? "she" : "he";
    choices[person.him] = woman ? "her" : "him";
    choices[person.his] = woman ? "her" : "his";
}

Choices choose(std::mt19937_64& random)
{
    Choices choices;
    choosePerson(random, kHero, choices);
    do
        choosePerson(random, kFriend, choices);
    while (choices[kFriend.name] == choices[kHero.name]);
    const auto& trouble = anyOf(random, words::troubles);
    choices["happens"] = trouble.happens;
    choices["where"] = trouble.where;
    choices["tries"] = trouble.tries;
    choices["because"] = trouble.because;
    choices["ability"] = trouble.ability;
    choices["deed"] = trouble.deed;
    choices["helper"] = anyOf(random, trouble.helpers);
    choices["kind"] = anyOf(random, words::heroKinds);
    choices["trait"] = anyOf(random, words::traits);
    choices["size"] = anyOf(random, words::sizes);
    choices["color"] = anyOf(random, words::colors);
    choices["thing"] = anyOf(random, words::things);
    choices["relative"] = anyOf(random, words::relatives);
    choices["food"] = anyOf(random, words::foods);
    choices["home"] = anyOf(random, words::homes);
    choices["goal"] = anyOf(random, words::goals);
    choices["weather"] = anyOf(random, words::weathers);
    choices["time"] = anyOf(random, words::times);
    choices["sad"] = anyOf(random, words::sadFeelings);
    choices["glad"] = anyOf(random, words::gladFeelings);
    return choices;
}

/// What a choice brings along may have placeholders itself.
void fill(std::string& text, Word pattern, const Choices& choices)
{
    for (std::size_t at = 0; at < pattern.size();) {
        const auto open = pattern.find('{', at);
        text += pattern.substr(at, open - at);
        if (open == Word::npos)
            return;
        const auto close = pattern.find('}', open);
        std::string name(pattern.substr(open + 1, close - open - 1));
        const bool capital = std::isupper(static_cast<unsigned char>(name.front())) != 0;
        name.front() = static_cast<char>(std::tolower(static_cast<unsigned char>(name.front())));
        const auto begin = text.size();
        fill(text, choices.at(name), choices);
        if (capital)
            text[begin] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[begin])));
        at = close + 1;
    }
}

}  // namespace

std::string StoryTeller::tell()
{
    const auto choices = choose(m_random);
    std::string story;
    for (const auto& part : parts) {
        const auto way = anyOf(m_random, part.ways);
        if (part.oneIn != 0 && draw(m_random, part.oneIn) == 0)
            continue;
        if (!story.empty())
            story += ' ';
        fill(story, way, choices);
    }
    return story;
}

std::vector<std::string> tellStories(std::uint64_t seed, std::size_t count)
{
    StoryTeller teller(seed);
    std::vector<std::string> stories;
    stories.reserve(count);
    while (stories.size() < count)
        stories.push_back(teller.tell());
    return stories;
}

std::string joinStories(const std::vector<std::string>& stories)
{
    std::string text;
    for (const auto& story : stories)
        text += story + "\n\n";
    return text;
}

}  // namespace quantloupe
