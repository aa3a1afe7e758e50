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
            QCOMPARE(tokenizer.decode(tokenizer.encode(text, false)), text);
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
    void ggufByteLevel_data();
    void ggufByteLevel();
    void configBeside();
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

void TestRecordedTokens::ggufByteLevel_data()
{
    QTest::addColumn<QString>("pre");
    QTest::addColumn<QString>("name");
    QTest::newRow("gpt-2") << "gpt-2"
                           << "gpt-2";
    QTest::newRow("llama-bpe") << "llama-bpe"
                               << "llama-3";
    QTest::newRow("dbrx") << "dbrx"
                          << "cl100k";
    QTest::newRow("qwen35") << "qwen35"
                            << "qwen-3.5";
    QTest::newRow("gpt-4o") << "gpt-4o"
                            << "gpt-4o";
    QTest::newRow("smollm") << "smollm"
                            << "smollm";
    QTest::newRow("default") << "default"
                             << "default";
    QTest::newRow("none") << ""
                          << "default";
}

/// The vocabulary of a tokenizer.json in a GGUF, with the name that stands for its pre-tokenizer.
void TestRecordedTokens::ggufByteLevel()
{
    QFETCH(QString, pre);
    QFETCH(QString, name);
    const auto& all = recorded().tokenizerJson;
    const auto found = std::find_if(
        all.begin(), all.end(), [&](const RecordedTokenizer& one) { return one.name == name.toStdString(); });
    QVERIFY(found != all.end());
    const auto document = nlohmann::json::parse(found->file);
    const auto& vocab = document["model"]["vocab"];
    std::vector<std::string> tokens(vocab.size() + 2);
    for (const auto& [piece, id] : vocab.items())
        tokens[id] = piece;
    tokens[vocab.size()] = "<tool>";
    tokens[vocab.size() + 1] = "<|end|>";
    std::string texts, types, merges;
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        texts += ggufText(tokens[i]);
        types += raw(std::int32_t {i < vocab.size() ? 1 : i == vocab.size() ? 4 : 3});
    }
    for (const auto& merge : document["model"]["merges"])
        merges += ggufText(merge[0].get<std::string>() + " " + merge[1].get<std::string>());
    const auto array = [](std::uint32_t type, std::size_t count, const std::string& elements) {
        return raw(type) + raw(std::uint64_t {count}) + elements;
    };
    GgufBuilder builder;
    builder.text("tokenizer.ggml.model", "gpt2")
        .key("tokenizer.ggml.tokens", 9, array(8, tokens.size(), texts))
        .key("tokenizer.ggml.token_type", 9, array(5, tokens.size(), types))
        .key("tokenizer.ggml.merges", 9, array(8, document["model"]["merges"].size(), merges))
        .u32("tokenizer.ggml.bos_token_id", static_cast<std::uint32_t>(vocab.size()) + 1);
    if (!pre.isEmpty())
        builder.text("tokenizer.ggml.pre", pre.toStdString());
    CheckpointFolder folder;
    const auto tokenizer = openTokenizer(folder.write("vocabulary.gguf", builder.file()));
    QVERIFY2(tokenizer.has_value(), tokenizer ? "" : describe(tokenizer.error()).c_str());
    QCOMPARE((*tokenizer)->prefix().size(), std::size_t {pre == "llama-bpe" ? 1U : 0U});
    for (std::size_t i = 0; i < recorded().texts.size(); ++i) {
        const auto& text = recorded().texts[i];
        auto expected = found->ids[i];
        if (name == "llama-3")
            expected = {expected.begin() + 1, expected.end() - 1};  // its template's
        if (text.find("<tool>") != std::string::npos)
            continue;  // this token of tokenizer.json takes spaces or keeps out of words
        QVERIFY2((*tokenizer)->encode(text, false, SpecialText::IsToken) == expected, inQuotes(text).c_str());
        QCOMPARE((*tokenizer)->decode((*tokenizer)->encode(text, true)), text);
    }
    const std::vector<TokenId> tool {static_cast<TokenId>(vocab.size())};
    QCOMPARE((*tokenizer)->encode("<tool>", false), tool);
    QCOMPARE((*tokenizer)->decode(tool), std::string("<tool>"));
}

/// tokenizer_config.json names the special tokens; of SentencePiece models it also says whether they are added.
void TestRecordedTokens::configBeside()
{
    CheckpointFolder folder;
    const auto model = folder.write("tokenizer.model", recorded().sentencePiece[0].file);
    QCOMPARE((*openTokenizer(model))->prefix().size(), std::size_t {1});
    folder.write("tokenizer_config.json", R"({"add_bos_token":false,"add_eos_token":true,"bos_token":"</s>",
        "eos_token":{"content":"<s>","special":true},"added_tokens_decoder":{"1":{"content":"x"}}})");
    const auto tokenizer = *openTokenizer(folder.path());
    QCOMPARE(tokenizer->bos(), tokenizer->find("</s>"));
    QCOMPARE(tokenizer->eos(), tokenizer->find("<s>"));
    QVERIFY(tokenizer->prefix().empty());
    QCOMPARE(tokenizer->encode("", true), std::vector<TokenId> {*tokenizer->eos()});
    folder.write("tokenizer_config.json", "{");
    const auto broken = openTokenizer(model);
    QVERIFY(!broken);
    QCOMPARE(broken.error().code, ErrorCode::Malformed);
}

QTEST_APPLESS_MAIN(TestRecordedTokens)
#include "tst_recorded_tokens.moc"
