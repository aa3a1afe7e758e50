// SPDX-License-Identifier: GPL-3.0-or-later
// Files that are no tokenizer, contradict themselves or ask for what is not built: each is refused with its reason.
#include "tests/core/tokenizers/recorded_tokens.h"

#include <QTest>

#include <random>

using namespace quantloupe;
using namespace quantloupe::tests;
using nlohmann::json;

namespace {

constexpr std::uint32_t kI32 = 5, kF32 = 6, kText = 8, kArray = 9;

json smallJson()
{
    return json::parse(R"({"added_tokens":[{"id":5,"content":"<s>","special":true,"normalized":false}],
        "normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"use_regex":true},
        "post_processor":null,"decoder":{"type":"ByteLevel"},
        "model":{"type":"BPE","vocab":{"a":0,"b":1,"c":2,"ab":3,"abc":4},"merges":["a b",["ab","c"]]}})");
}

std::string patched(std::string_view pointer, const json& value)
{
    auto document = smallJson();
    document[json::json_pointer(std::string(pointer))] = value;
    return document.dump();
}

template<class Number>
std::string numbers(std::uint32_t type, const std::vector<Number>& values)
{
    auto bytes = raw(type) + raw(std::uint64_t {values.size()});
    for (const auto value : values)
        bytes += raw(value);
    return bytes;
}

std::string texts(const std::vector<std::string>& values)
{
    auto bytes = raw(kText) + raw(std::uint64_t {values.size()});
    for (const auto& value : values)
        bytes += ggufText(value);
    return bytes;
}

std::string ggufLlama(const std::string& model, const std::vector<std::string>& tokens,
    const std::vector<float>& scores, const std::vector<std::int32_t>& types, std::uint32_t bos)
{
    return GgufBuilder()
        .text("tokenizer.ggml.model", model)
        .key("tokenizer.ggml.tokens", kArray, texts(tokens))
        .key("tokenizer.ggml.scores", kArray, numbers(kF32, scores))
        .key("tokenizer.ggml.token_type", kArray, numbers(kI32, types))
        .u32("tokenizer.ggml.bos_token_id", bos)
        .file();
}

std::string ggufBpe(const std::string& pre, const std::vector<std::string>& merges)
{
    return GgufBuilder()
        .text("tokenizer.ggml.model", "gpt2")
        .text("tokenizer.ggml.pre", pre)
        .key("tokenizer.ggml.tokens", kArray, texts({"a", "b", "ab"}))
        .key("tokenizer.ggml.merges", kArray, texts(merges))
        .file();
}

std::string protoField(int number, std::string_view bytes)
{
    return std::string {static_cast<char>(number * 8 + 2), static_cast<char>(bytes.size())} + std::string(bytes);
}

std::string protoPiece(std::string_view text, int type, float score = 0.0F)
{
    return protoField(1, protoField(1, text) + '\x15' + raw(score) + '\x18' + std::string(1, static_cast<char>(type)));
}

std::string llama2cFile(std::size_t pieces, std::int32_t longest = 6)
{
    auto file = raw(longest);
    for (std::size_t i = 0; i < pieces; ++i) {
        auto text = "p" + std::to_string(i);
        if (i >= 3 && i < 259)
            text = "<0x"
                + QByteArray::number(static_cast<qulonglong>(i - 3), 16).rightJustified(2, '0').toUpper().toStdString()
                + ">";
        file += raw(-static_cast<float>(i)) + raw(static_cast<std::int32_t>(text.size())) + text;
    }
    return file;
}

}  // namespace

class TestBrokenTokenizers : public QObject
{
    Q_OBJECT

private Q_SLOTS:
    void refused_data();
    void refused();
    void sound();
    void mutated_data();
    void mutated();
};

void TestBrokenTokenizers::refused_data()
{
    QTest::addColumn<QByteArray>("content");
    QTest::addColumn<int>("code");
    QTest::addColumn<QString>("reason");
    const auto row = [](const char* name, const std::string& content, ErrorCode code, const char* reason) {
        QTest::newRow(name) << QByteArray::fromStdString(content) << static_cast<int>(code) << QString(reason);
    };
    using enum ErrorCode;
    row("nothing", "", NotThisFormat, "neither tokenizer.json");
    row("plain text", "Once upon a time", NotThisFormat, "neither tokenizer.json");
    row("no JSON", R"({"model":)", Malformed, "not valid JSON");
    row("no model", R"({"version":"1.0"})", Malformed, "no 'model'");
    row("word pieces", patched("/model/type", "WordPiece"), Unsupported, "'WordPiece'");
    row("id of text", patched("/model/vocab/a", "0"), Malformed, "not a whole number");
    row("negative id", patched("/model/vocab/a", -1), Malformed, "not a whole number");
    row("id twice", patched("/model/vocab/b", 0), Malformed, "token 0 is both");
    row("id far away", patched("/model/vocab/b", 4'000'000'000U), Malformed, "4000000000 in a vocabulary of 5");
    row("piece too long", patched("/model/vocab/" + std::string(5'000, 'x'), 9), Malformed, "5000 bytes");
    row("empty vocabulary", patched("/model/vocab", json::object()), Malformed, "vocabulary is empty");
    row("vocabulary of another form", patched("/model/vocab", json::array()), Malformed, "not of the form");
    row("merge of one", patched("/model/merges/0", "ab"), Malformed, "not two pieces");
    row("merge of three", patched("/model/merges/1", {"a", "b", "c"}), Malformed, "not two pieces");
    row("merge of a stranger", patched("/model/merges/0", "a x"), Malformed, "'x' is not in the vocabulary");
    row("merge to a stranger", patched("/model/merges/0", "b a"), Malformed, "'ba', which is not");
    row("unknown token", patched("/model/unk_token", "<unk>"), Malformed, "'<unk>' is not in the vocabulary");
    row("dropout", patched("/model/dropout", 0.1), Unsupported, "dropout");
    row("end of word", patched("/model/end_of_word_suffix", "</w>"), Unsupported, "end_of_word_suffix");
    row("added token elsewhere", patched("/added_tokens/0/id", 3), Malformed, "token 3 is 'ab'");
    row("added token far away", patched("/added_tokens/0/id", 1'000'000'000), Malformed, "far beyond");
    row("normalizer", patched("/normalizer", {{"type", "Precompiled"}}), Unsupported, "'Precompiled'");
    row("pre-tokenizer", patched("/pre_tokenizer", {{"type", "BertPreTokenizer"}}), Unsupported, "'BertPreTokenizer'");
    row("expression",
        patched("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "(a+)+$"}}}, {"behavior", "Isolated"}}),
        Unsupported, "'(a+)+$' is not supported");
    row("behavior",
        patched("/pre_tokenizer", {{"type", "Split"}, {"pattern", {{"Regex", "\\p{N}"}}}, {"behavior", "Removed"}}),
        Unsupported, "'Removed'");
    row("decoder", patched("/decoder", {{"type", "CTC"}}), Unsupported, "'CTC'");
    row("post-processor", patched("/post_processor", {{"type", "BertProcessing"}}), Unsupported, "'BertProcessing'");
    const json single {{{"SpecialToken", {{"id", "<s>"}}}}, {{"Sequence", {{"id", "A"}}}}};
    row("template without its token", patched("/post_processor", {{"type", "TemplateProcessing"}, {"single", single}}),
        Malformed, "does not describe");
    row("template of a stranger",
        patched("/post_processor",
            {{"type", "TemplateProcessing"}, {"single", single}, {"special_tokens", {{"<s>", {{"ids", {77}}}}}}}),
        Malformed, "adds token 77");

    row("GGUF without vocabulary", GgufBuilder().text("general.architecture", "llama").file(), NotThisFormat,
        "no vocabulary");
    row("GGUF of another kind", ggufLlama("t5", {"a"}, {0}, {1}, 0), Unsupported, "'t5'");
    row("GGUF without tokens", ggufLlama("llama", {}, {}, {}, 0), Malformed, "without tokens");
    row("GGUF, too few scores", ggufLlama("llama", {"a", "b"}, {0}, {1, 1}, 0), Malformed, "1 elements for 2 tokens");
    row("GGUF, too few types", ggufLlama("llama", {"a", "b"}, {0, 1}, {1}, 0), Malformed, "1 elements for 2 tokens");
    row("GGUF, unknown type", ggufLlama("llama", {"a"}, {0}, {9}, 0), Malformed, "unknown type 9");
    row("GGUF, token twice", ggufLlama("llama", {"a", "a"}, {0, 1}, {1, 1}, 0), Malformed, "0 and 1 are both 'a'");
    row("GGUF, no number", ggufLlama("llama", {"a"}, {std::numeric_limits<float>::quiet_NaN()}, {1}, 0), Malformed,
        "not a number");
    row("GGUF, byte of no form", ggufLlama("llama", {"<0xZZ>"}, {0}, {6}, 0), Malformed, "of type byte");
    row("GGUF, BOS of a stranger", ggufLlama("llama", {"a"}, {0}, {1}, 7), Malformed, "bos_token_id is 7");
    row("GGUF, pre-tokenizer", ggufBpe("deepseek-coder", {"a b"}), Unsupported, "'deepseek-coder'");
    row("GGUF, merge of one", ggufBpe("gpt-2", {"ab"}), Malformed, "not two pieces");
    row("GGUF, merge of a stranger", ggufBpe("gpt-2", {"a c"}), Malformed, "not in the vocabulary");

    const auto pieces = protoPiece("<unk>", 2) + protoPiece("a", 1) + protoPiece("b", 1);
    row("SentencePiece, cut off", pieces.substr(0, pieces.size() - 3), Truncated, "ends inside a field");
    row("SentencePiece, type", pieces + protoPiece("c", 9), Malformed, "unknown type 9");
    row("SentencePiece, twice", pieces + protoPiece("a", 1), Malformed, "1 and 3 are both 'a'");
    row("SentencePiece, no text", pieces + protoPiece("", 1), Malformed, "empty");
    row("SentencePiece, infinite", pieces + protoPiece("c", 1, std::numeric_limits<float>::infinity()), Malformed,
        "not a finite number");
    row("SentencePiece, words", pieces + protoField(2, "\x18\x03"), Unsupported, "model type 3");
    row("SentencePiece, map", pieces + protoField(3, protoField(1, "nmt_nfkc") + protoField(2, "xyz")), Unsupported,
        "'nmt_nfkc'");
    row("SentencePiece, wire type", pieces + "\x0B", Malformed, "wire type");

    row("llama2.c, few", llama2cFile(100), NotThisFormat, "only 100 pieces");
    row("llama2.c, cut off", llama2cFile(300).substr(0, llama2cFile(300).size() - 3), Truncated, "ends inside token");
    row("llama2.c, too long", llama2cFile(300, 3), Malformed, "the longest has 3");
}

void TestBrokenTokenizers::refused()
{
    QFETCH(QByteArray, content);
    QFETCH(int, code);
    QFETCH(QString, reason);
    CheckpointFolder folder;
    const auto path = folder.write("file", content.toStdString());
    const auto tokenizer = openTokenizer(path);
    QVERIFY(!tokenizer);
    const auto& error = tokenizer.error();
    QVERIFY2(QString::fromStdString(error.reason).contains(reason), describe(error).c_str());
    QCOMPARE(static_cast<int>(error.code), code);
    QCOMPARE(error.where, path.string());
}

/// What the broken ones are made from.
void TestBrokenTokenizers::sound()
{
    CheckpointFolder folder;
    const auto ids = [&](const std::string& content, std::string_view text) {
        const auto tokenizer = openTokenizer(folder.write("file", content));
        if (!tokenizer)
            qFatal("%s", describe(tokenizer.error()).c_str());
        return (*tokenizer)->encode(text, false, SpecialText::IsToken);
    };
    QCOMPARE(ids(smallJson().dump(), "abc<s>ba"), (std::vector<TokenId> {4, 5, 1, 0}));
    QCOMPARE(ids(ggufBpe("gpt-2", {"a b"}), "abba"), (std::vector<TokenId> {2, 1, 0}));
    QCOMPARE(
        ids(ggufLlama("llama", {"a", "b", "ab"}, {-2, -2, -1}, {1, 1, 1}, 0), "aba"), (std::vector<TokenId> {2, 0}));
    QCOMPARE(ids(protoPiece("<unk>", 2) + protoPiece("a", 1, -1.0F) + protoPiece("\u2581", 1, -1.0F), "aaz a"),
        (std::vector<TokenId> {2, 1, 1, 0, 2, 1}));
    QCOMPARE(ids(llama2cFile(300), "p"), (std::vector<TokenId> {3 + ' ', 3 + 'p'}));
}

void TestBrokenTokenizers::mutated_data()
{
    QTest::addColumn<QByteArray>("content");
    const auto recorded = recordedTokens();
    const auto row = [](const char* name, const std::string& content) {
        QTest::newRow(name) << QByteArray::fromStdString(content);
    };
    row("small JSON", smallJson().dump());
    row("JSON", recorded.tokenizerJson[2].file);
    row("Unigram JSON", recorded.tokenizerJson.back().file);
    row("SentencePiece BPE", recorded.sentencePiece[0].file);
    row("SentencePiece Unigram", recorded.sentencePiece[2].file);
    row("llama2.c", llama2cFile(300));
    row("GGUF llama", ggufLlama("llama", {"a", "b", "ab"}, {-2, -2, -1}, {1, 1, 1}, 0));
    row("GGUF gpt2", ggufBpe("gpt-2", {"a b"}));
}

/// Damaged in random places a file gives a tokenizer or an error, and a tokenizer that works.
void TestBrokenTokenizers::mutated()
{
    QFETCH(QByteArray, content);
    CheckpointFolder folder;
    std::mt19937 random(1);
    const auto original = content.toStdString();
    const int rounds = original.size() > 5'000 ? 150 : 1'500;
    for (int round = 0; round < rounds; ++round) {
        auto file = original;
        for (std::size_t i = 1 + random() % 4; i > 0; --i) {
            auto& byte = file[random() % file.size()];
            byte = round % 2 == 0 ? static_cast<char>(random()) : static_cast<char>(byte ^ (1 << random() % 8));
        }
        if (random() % 8 == 0)
            file.resize(random() % file.size());
        const auto tokenizer = openTokenizer(folder.write("file", file));
        if (!tokenizer) {
            QVERIFY(!tokenizer.error().reason.empty());
            continue;
        }
        std::string text = "abc \xC3\xA9 <s>\n";
        for (int i = 0; i < 20; ++i)
            text += static_cast<char>(random());
        const auto ids = (*tokenizer)->encode(text, true, SpecialText::IsToken);
        for (const auto id : ids)
            QVERIFY(id < (*tokenizer)->vocabularySize());
        (void)(*tokenizer)->decode(ids, true);
    }
}

QTEST_APPLESS_MAIN(TestBrokenTokenizers)
#include "tst_broken_tokenizers.moc"
