// SPDX-License-Identifier: GPL-3.0-or-later
// Ids that Hugging Face tokenizers and SentencePiece gave for the same files.
#include "core/base/text.h"
#include "tests/core/tokenizers/recorded_tokens.h"

#include <QTest>

#include <random>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

const RecordedTokens& recorded()
{
    static const auto tokens = recordedTokens();
    return tokens;
}

std::string joined(const std::vector<TokenId>& ids)
{
    std::string text;
    for (const auto id : ids)
        text += std::to_string(id) + " ";
    return text;
}

void compareWith(
    const Tokenizer& tokenizer, const std::vector<std::vector<TokenId>>& expected, bool addSpecial, SpecialText special)
{
    QCOMPARE(expected.size(), recorded().texts.size());
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const auto& text = recorded().texts[i];
        const auto ids = tokenizer.encode(text, addSpecial, special);
        QVERIFY2(
            ids == expected[i], (inQuotes(text) + "\n  is " + joined(ids) + "\n  not " + joined(expected[i])).c_str());
    }
}

/// Whatever is encoded comes back, if the tokenizer says so.
void compareRestored(const Tokenizer& tokenizer)
{
    for (const auto& text : recorded().texts)
        if (text.find("\u2581") == std::string::npos)
            QCOMPARE(tokenizer.decode(tokenizer.encode(text, true)), text);
    std::mt19937 random(3);
    for (int round = 0; round < 300; ++round) {
        std::string bytes;
        for (std::size_t i = random() % 40; i > 0; --i)
            bytes += static_cast<char>(random() % (round % 2 == 0 ? 256 : 128));
        const auto text = toValidUtf8(bytes);
        QCOMPARE(tokenizer.decode(tokenizer.encode(bytes, false)), text);
    }
}

}  // namespace

class TestRecordedTokens : public QObject
{
    Q_OBJECT

private Q_SLOTS:
    void tokenizerJson_data();
    void tokenizerJson();
    void sentencePiece_data();
    void sentencePiece();
};

void TestRecordedTokens::tokenizerJson_data()
{
    QTest::addColumn<std::size_t>("number");
    for (std::size_t i = 0; i < recorded().tokenizerJson.size(); ++i)
        QTest::newRow(recorded().tokenizerJson[i].name.c_str()) << i;
}

void TestRecordedTokens::tokenizerJson()
{
    QFETCH(std::size_t, number);
    const auto& [name, content, ids] = recorded().tokenizerJson[number];
    CheckpointFolder folder;
    const auto tokenizer = openTokenizer(folder.write("tokenizer.json", content));
    QVERIFY2(tokenizer.has_value(), tokenizer ? "" : describe(tokenizer.error()).c_str());
    compareWith(**tokenizer, ids, true, SpecialText::IsToken);
    const bool restores = (*tokenizer)->restoresTexts();
    const bool rewrites = name == "qwen-2" || name == "prefix space" || name == "gpt-4o" || name == "cl100k"
        || name == "mistral" || name == "metaspace" || name == "llama-2" || name.starts_with("un");
    QCOMPARE(restores, !rewrites);
    if (restores)
        compareRestored(**tokenizer);
}

void TestRecordedTokens::sentencePiece_data()
{
    QTest::addColumn<std::size_t>("number");
    for (std::size_t i = 0; i < recorded().sentencePiece.size(); ++i)
        QTest::newRow(recorded().sentencePiece[i].name.c_str()) << i;
}

void TestRecordedTokens::sentencePiece()
{
    QFETCH(std::size_t, number);
    const auto& [name, content, ids] = recorded().sentencePiece[number];
    CheckpointFolder folder;
    const auto tokenizer = openTokenizer(folder.write("tokenizer.model", content));
    QVERIFY2(tokenizer.has_value(), tokenizer ? "" : describe(tokenizer.error()).c_str());
    compareWith(**tokenizer, ids, false, SpecialText::IsText);
    QCOMPARE((*tokenizer)->restoresTexts(), name == "bpe" || name == "unigram");
    if ((*tokenizer)->restoresTexts())
        compareRestored(**tokenizer);
}

QTEST_APPLESS_MAIN(TestRecordedTokens)
#include "tst_recorded_tokens.moc"
