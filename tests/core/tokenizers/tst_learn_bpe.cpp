// SPDX-License-Identifier: GPL-3.0-or-later
// A vocabulary that is learned from a text: against merges counted by hand, and through the file that it becomes.
#include "core/tokenizers/byte_alphabet.h"
#include "core/tokenizers/learn_bpe.h"
#include "core/tokenizers/tokenizer.h"

#include <QTest>

#include <map>

using namespace quantloupe;

namespace {

std::vector<std::string> joinedBy(const LearnedBpe& learned)
{
    std::vector<std::string> joined;
    for (const auto& [left, right] : learned.merges)
        joined.push_back(learned.pieces[left] + "+" + learned.pieces[right]);
    return joined;
}

Tokenizer reread(const LearnedBpe& learned)
{
    const auto json = tokenizerJson(learned, "<|begin|>");
    auto parts = readTokenizerJson(std::as_bytes(std::span<const char>(json)), "tokenizer.json");
    if (!parts)
        qFatal("%s", describe(parts.error()).c_str());
    return Tokenizer(std::move(*parts));
}

}  // namespace

class TestLearnBpe : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    /// "aab" three times, " aab" twice, "ab" once: a+b has 6, a+a 5, " "+a 2.
    void mergesByFrequency()
    {
        const auto learned = learnBpe("aab\naab aab\naab\nab aab", 300);
        // a+b first (6), then a+ab (5), then " "+aab (2); words of one piece have no pairs.
        QCOMPARE(joinedBy(learned), (std::vector<std::string> {"a+b", "a+ab", " +aab"}));
        QCOMPARE(learned.pieces.size(), std::size_t(259));
        QCOMPARE(learned.pieces.back(), std::string(" aab"));
    }

    void equalsGoByTheSmallestIds()
    {
        const auto learned = learnBpe("xy\nxy\ncd\ncd", 258);
        QCOMPARE(joinedBy(learned), (std::vector<std::string> {"c+d", "x+y"}));
    }

    void endsWhereNothingRepeats()
    {
        const auto learned = learnBpe("abc abc", 400);
        // ab, abc, " abc" once only.
        QCOMPARE(joinedBy(learned), (std::vector<std::string> {"a+b", "ab+c"}));
        QCOMPARE(learnBpe("", 400).pieces.size(), std::size_t(256));
    }

    /// Our reader, which is tested against Hugging Face's, applies the merges as they were learned.
    void readsAsItWasLearned()
    {
        const std::string text = "The cat sat. The hat, the bat!\n\nThe cat's hat: \"at last\" – ein Hütchen.\n";
        const auto learned = learnBpe(text + text, 300);
        const auto tokenizer = reread(learned);
        QCOMPARE(tokenizer.vocabularySize(), learned.pieces.size() + 1);
        QVERIFY(tokenizer.restoresTexts());
        for (std::size_t id = 0; id < learned.pieces.size(); ++id)
            QCOMPARE(std::string(tokenizer.piece(static_cast<TokenId>(id))), learned.pieces[id]);
        const auto first = static_cast<TokenId>(learned.pieces.size());
        QCOMPARE(tokenizer.bos(), std::optional(first));
        QCOMPARE(tokenizer.kind(first), PieceKind::Control);
        const auto ids = tokenizer.encode(text, true);
        QCOMPARE(ids.front(), first);
        QVERIFY(ids.size() < text.size());
        QCOMPARE(tokenizer.decode(std::span(ids).subspan(1)), text);
        // Bytes that the text never had are spelled all the same.
        const std::string strange = "\x01 żółw €";
        QCOMPARE(tokenizer.decode(tokenizer.encode(strange, false)), strange);
    }

    void alphabetGoesBothWays()
    {
        std::string all;
        for (int byte = 0; byte < 256; ++byte)
            all += static_cast<char>(byte);
        const auto spelled = alphabetOfBytes(all);
        QVERIFY(QString::fromUtf8(spelled.c_str()).size() == 256);
        QCOMPARE(bytesOfAlphabet(spelled), std::optional(all));
        QCOMPARE(alphabetOfBytes(" the\n"), std::string("\xC4\xA0the\xC4\x8A"));
    }
};

QTEST_APPLESS_MAIN(TestLearnBpe)
#include "tst_learn_bpe.moc"
