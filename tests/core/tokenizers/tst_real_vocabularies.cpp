// SPDX-License-Identifier: GPL-3.0-or-later
// The vocabularies of real models: the ids that the originals gave, and the same model from files of every kind.
#include "core/base/text.h"
#include "core/file_formats/file_format.h"
#include "core/tokenizers/text_source.h"
#include "core/tokenizers/tokenizer.h"
#include "tests/core/tokenizers/recorded_tokens.h"
#include "tests/support/shared_data.h"

#include <QTest>

#include <random>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

std::filesystem::path stories()
{
    return corpus() / "llm" / "stories260K";
}

TokenizerPointer opened(const std::filesystem::path& path)
{
    auto tokenizer = openTokenizer(path);
    if (!tokenizer)
        qFatal("%s", describe(tokenizer.error()).c_str());
    return *tokenizer;
}

/// Every text of the corpus in one string.
std::string corpusText(const char* name)
{
    auto source = readTextSource(corpus() / "text" / name);
    if (!source)
        qFatal("%s", describe(source.error()).c_str());
    return source->documents.front();
}

/// The dictionary that a small llama2.c tokenizer is: merges the best pair of the whole text again and again, as run.c
/// does, in quadratic time.
std::vector<TokenId> encodedSlowly(const Tokenizer& tokenizer, std::string_view text, const std::vector<float>& scores,
    const std::map<std::string, TokenId, std::less<>>& ids)
{
    std::vector<TokenId> tokens;
    if (text.empty())
        return tokens;
    std::string escaped = " ";
    escaped += text;
    for (std::size_t at = 0; at < escaped.size();) {
        std::size_t length = 1;
        while (at + length < escaped.size() && (static_cast<unsigned char>(escaped[at + length]) & 0xC0U) == 0x80U)
            ++length;
        const auto found = ids.find(escaped.substr(at, length));
        if (found != ids.end())
            tokens.push_back(found->second);
        else
            for (std::size_t i = 0; i < length; ++i)
                tokens.push_back(static_cast<unsigned char>(escaped[at + i]) + 3U);
        at += length;
    }
    for (;;) {
        float best = -1e10F;
        std::size_t place = tokens.size();
        TokenId merged = 0;
        for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
            const auto found = ids.find(std::string(tokenizer.piece(tokens[i])).append(tokenizer.piece(tokens[i + 1])));
            if (found != ids.end() && scores[found->second] > best) {
                best = scores[found->second];
                place = i;
                merged = found->second;
            }
        }
        if (place == tokens.size())
            return tokens;
        tokens[place] = merged;
        tokens.erase(tokens.begin() + static_cast<std::ptrdiff_t>(place) + 1);
    }
}

}  // namespace

class TestRealVocabularies : public QObject
{
    Q_OBJECT

private Q_SLOTS:
    void sameIdsFromEveryFile_data();
    void sameIdsFromEveryFile();
    void modelsFindTheirTokenizer();
    void mergesAsLlama2c();
    void goldenWindows();
    void numberOfTokens();
    void llamaVocabulary();
    void anyBytesComeBack();
};

void TestRealVocabularies::sameIdsFromEveryFile_data()
{
    QTest::addColumn<QString>("name");
    for (const char* name :
        {"tinystories_val_A.txt", "tinystories_val_B.txt", "calib_tinystories.txt", "wikitext2_valid_head.txt"})
        QTest::newRow(name) << QString(name);
}

void TestRealVocabularies::sameIdsFromEveryFile()
{
    QFETCH(QString, name);
    QUANTLOUPE_NEED(stories());
    const auto text = corpusText(name.toUtf8().constData());
    const auto bin = opened(stories() / "tok512.bin")->encode(text, true);
    QVERIFY(bin.size() > text.size() / 8);
    QCOMPARE(opened(stories() / "hf" / "tokenizer.json")->encode(text, true), bin);
    QCOMPARE(opened(stories() / "gguf" / "stories260K-f32.gguf")->encode(text, true), bin);
    for (const char* file : {"tok512.bin", "hf/tokenizer.json", "gguf/stories260K-f32.gguf"}) {
        const auto tokenizer = opened(stories() / file);
        QVERIFY(tokenizer->restoresTexts());
        QCOMPARE(tokenizer->decode(bin), text);
        QCOMPARE(tokenizer->vocabularySize(), std::size_t {512});
        QCOMPARE(tokenizer->bos().value(), 1U);
        QCOMPARE(tokenizer->eos().value(), 2U);
    }
}

void TestRealVocabularies::modelsFindTheirTokenizer()
{
    QUANTLOUPE_NEED(stories());
    for (const char* file : {"hf", "gguf/stories260K-ff192-Q4_0.gguf"}) {
        const auto model = openModel(stories() / file);
        QVERIFY(model.has_value());
        const auto tokenizer = openTokenizer(**model);
        QVERIFY2(tokenizer.has_value(), tokenizer ? "" : describe(tokenizer.error()).c_str());
        QCOMPARE((*tokenizer)->vocabularySize(), std::size_t {512});
    }
    const auto without = openModel(stories() / "hf-sharded-bf16");
    QVERIFY(without.has_value());
    const auto missing = openTokenizer(**without);
    QVERIFY(!missing);
    QCOMPARE(missing.error().code, ErrorCode::NotThisFormat);
}

void TestRealVocabularies::mergesAsLlama2c()
{
    QUANTLOUPE_NEED(stories());
    const auto tokenizer = opened(stories() / "tok512.bin");
    const auto file = contentOf(stories() / "tok512.bin");
    std::vector<float> scores;
    std::map<std::string, TokenId, std::less<>> ids;
    for (std::size_t at = 4; at < file.size();) {
        float score = 0.0F;
        std::int32_t length = 0;
        std::memcpy(&score, file.data() + at, 4);
        std::memcpy(&length, file.data() + at + 4, 4);
        ids.emplace(file.substr(at + 8, static_cast<std::size_t>(length)), static_cast<TokenId>(scores.size()));
        scores.push_back(score);
        at += 8 + static_cast<std::size_t>(length);
    }
    const auto text = corpusText("tinystories_val_A.txt");
    for (std::size_t at = 0; at + 600 < text.size(); at += 11'000) {
        const auto part = std::string_view(text).substr(at, 600);
        QCOMPARE(tokenizer->encode(part, false), encodedSlowly(*tokenizer, part, scores, ids));
    }
    std::mt19937 random(7);
    for (int round = 0; round < 200; ++round) {
        std::string part;
        for (std::size_t i = random() % 60; i > 0; --i)
            part += static_cast<char>(u8"abcdehilnorst  .,éß▁"[random() % 18]);
        part = toValidUtf8(part);
        QCOMPARE(tokenizer->encode(part, false), encodedSlowly(*tokenizer, part, scores, ids));
    }
}

/// Windows of TinyStories text, every story behind BOS, as another implementation has cut them: their text gives their
/// ids.
void TestRealVocabularies::goldenWindows()
{
    const auto path = golden() / "tokens" / "tok_real_eval.npy";
    QUANTLOUPE_NEED(path);
    QUANTLOUPE_NEED(stories());
    const auto file = contentOf(path);
    constexpr std::size_t kWindow = 257, kWindows = 16;
    std::vector<std::vector<TokenId>> pieces;
    for (std::size_t i = 0; i < kWindows * kWindow; ++i) {
        std::uint16_t id = 0;
        std::memcpy(&id, file.data() + file.size() - 2 * (kWindows * kWindow - i), 2);
        if (i % kWindow == 0 || id == 1)
            pieces.emplace_back();
        pieces.back().push_back(id);
    }
    const auto tokenizer = opened(stories() / "tok512.bin");
    QVERIFY(pieces.size() > kWindows);
    for (auto& ids : pieces) {
        QCOMPARE(ids.front(), 1U);
        auto again = tokenizer->encode(tokenizer->decode(ids), true);
        // The end of a window may cut a word in two, which encoding puts together otherwise.
        if (ids.size() > 8)
            ids.resize(ids.size() - 8);
        QVERIFY(again.size() >= ids.size());
        again.resize(ids.size());
        QCOMPARE(again, ids);
    }
}

/// TRUTH.md: llama-tokenize and another implementation found as many.
void TestRealVocabularies::numberOfTokens()
{
    QUANTLOUPE_NEED(stories());
    const auto tokenizer = opened(stories() / "hf" / "tokenizer.json");
    QCOMPARE(tokenizer->encode(corpusText("tinystories_val_A.txt"), true).size(), std::size_t {53'410});
}

void TestRealVocabularies::llamaVocabulary()
{
    const auto path = corpus() / "gguf-vocab" / "ggml-vocab-llama-spm.gguf";
    QUANTLOUPE_NEED(path);
    const auto tokenizer = opened(path);
    QCOMPARE(tokenizer->vocabularySize(), std::size_t {32'000});
    QCOMPARE(tokenizer->piece(15'043), std::string_view("\u2581Hello"));
    const auto recorded = recordedTokens();
    for (std::size_t i = 0; i < recorded.texts.size(); ++i) {
        const auto& text = recorded.texts[i];
        const auto ids = tokenizer->encode(text, false);
        QVERIFY2(ids == recorded.ggufLlama[i], inQuotes(text).c_str());
        if (text.find("\u2581") == std::string::npos)
            QCOMPARE(tokenizer->decode(ids), text);
    }
    const std::vector<TokenId> special {1, 1, 29871, 13, 2, 263};
    QCOMPARE(tokenizer->encode("<s>\n</s>a", true, SpecialText::IsToken), special);
}

/// Byte tokens spell what is no text at all. A space within a broken character stays one only where spaces stand as
/// they are.
void TestRealVocabularies::anyBytesComeBack()
{
    QUANTLOUPE_NEED(stories());
    std::mt19937 random(11);
    for (const char* file : {"tok512.bin", "gguf/stories260K-f32.gguf"}) {
        const auto tokenizer = opened(stories() / file);
        const bool spacesStand = std::string_view(file) == "tok512.bin";
        for (int round = 0; round < 2'000; ++round) {
            std::string bytes;
            for (std::size_t i = random() % 50; i > 0; --i)
                if (const auto byte = static_cast<char>(random()); spacesStand || byte != ' ')
                    bytes += byte;
            const auto again = tokenizer->decode(tokenizer->encode(bytes, true));
            QVERIFY2(again == bytes, QByteArray::fromStdString(bytes).toHex(' ').constData());
        }
    }
}

QTEST_APPLESS_MAIN(TestRealVocabularies)
#include "tst_real_vocabularies.moc"
