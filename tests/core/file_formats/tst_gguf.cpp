// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/checkpoint_files.h"

#include <QTest>

#include <limits>

using namespace quantloupe;
using tests::GgufBuilder;
using tests::ggufText;
using tests::raw;

namespace {

/// Numbers of metadata types.
enum : std::uint32_t { U8, I8, U16, I16, U32, I32, F32, Bool, Text, Array, U64, I64, F64 };

GgufBuilder llama()
{
    GgufBuilder builder;
    builder.text("general.architecture", "llama").u32("llama.block_count", 2);
    return builder;
}

std::string array(std::uint32_t type, std::uint64_t count, std::string_view elements)
{
    return raw(type).append(raw(count)).append(elements);
}

}  // namespace

class TestGguf : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void listsTensorsAndMetadata()
    {
        auto builder = llama();
        builder.u32("llama.embedding_length", 64)
            .key("llama.attention.head_count", U64, raw(std::uint64_t {8}))
            .key("llama.attention.head_count_kv", Array, array(I32, 2, raw(std::int32_t {2}) + raw(std::int32_t {4})))
            .key("a.u8", U8, raw(std::uint8_t {255}))
            .key("a.i8", I8, raw(std::int8_t {-1}))
            .key("a.u16", U16, raw(std::uint16_t {65'535}))
            .key("a.i16", I16, raw(std::int16_t {-2}))
            .key("a.i32", I32, raw(std::int32_t {-3}))
            .key("a.f32", F32, raw(1e-5F))
            .key("a.bool", Bool, raw(std::uint8_t {1}))
            .key("a.i64", I64, raw(std::numeric_limits<std::int64_t>::min()))
            .key("a.f64", F64, raw(0.1))
            .text("a.long", std::string(1000, 'x'))
            .text("a.bytes", "\xff!")
            .key("tokenizer.ggml.tokens", Array,
                array(Text, 6,
                    ggufText("<s>") + ggufText("") + ggufText("a") + ggufText("b") + ggufText("c") + ggufText("d")))
            .key("a.empty", Array, array(F32, 0, {}))
            .tensor("token_embd.weight", {64, 32}, 0, 64 * 32 * 4)
            .tensor("blk.1.attn_q.weight", {64, 3}, 1, 64 * 3 * 2)
            .tensor("blk.1.ffn_down.weight", {256, 5}, 12, 5 * 144)
            .tensor("blk.1.ffn_up_exps.weight", {32, 3, 2}, 8, 6 * 34)
            .tensor("blk.1.attn_norm.weight", {7}, 0, 28);
        tests::CheckpointFolder folder;
        const auto path = folder.write("a.gguf", builder.file(4));  // without the padding behind the last tensor
        const auto opened = openModel(path);
        QVERIFY2(opened, opened ? "" : describe(opened.error()).c_str());
        const auto& model = **opened;
        QCOMPARE(model.format, std::string("gguf"));
        QVERIFY(model.naming == NamingWorld::Gguf);

        QCOMPARE(model.config.architecture, std::string("llama"));
        QVERIFY(model.config.layers == 2U);
        QVERIFY(model.config.hiddenSize == 64U);
        QVERIFY(model.config.heads == 8U);
        QVERIFY(model.config.keyValueHeads == 4U);
        QVERIFY(model.config.headDimension == 8U);
        QVERIFY(model.config.vocabulary == 6U);
        QVERIFY(model.config.tiedEmbeddings);

        const std::vector<std::pair<std::string, std::string>> shown(model.metadata.begin() + 5, model.metadata.end());
        const std::vector<std::pair<std::string, std::string>> expected {{"a.u8", "255"}, {"a.i8", "-1"},
            {"a.u16", "65535"}, {"a.i16", "-2"}, {"a.i32", "-3"}, {"a.f32", "1e-05"}, {"a.bool", "true"},
            {"a.i64", "-9223372036854775808"}, {"a.f64", "0.1"}, {"a.long", std::string(200, 'x') + "…"},
            {"a.bytes", "\xEF\xBF\xBD!"}, {"tokenizer.ggml.tokens", "text[6]: <s>, , a, b, …"}, {"a.empty", "f32[0]"}};
        QVERIFY(shown == expected);

        const auto& tensors = model.tensors;
        QCOMPARE(tensors.size(), std::size_t(5));
        QVERIFY(tensors[0].view.shape == Shape({32, 64}));
        QVERIFY(tensors[1].view.dtype == DType::F16);
        QVERIFY(tensors[1].parts.role == TensorRole::Query);
        QVERIFY(tensors[1].parts.block == 1U);
        QVERIFY(tensors[1].quantizable());
        QVERIFY(tensors[2].view.dtype == DType::Q4_K);
        QCOMPARE(tensors[2].bytes(), std::uint64_t(720));
        QVERIFY(tensors[2].quantizable());
        QVERIFY(tensors[3].view.shape == Shape({2, 3, 32}));
        QVERIFY(tensors[3].parts.expertStack);
        for (const auto& tensor : tensors)
            QCOMPARE(tensor.offset % 32, std::uint64_t(0));
        QCOMPARE(tensors[4].offset + 28, std::uint64_t(std::filesystem::file_size(path)));
        for (const auto& warning : model.warnings)
            QVERIFY2(warning.find("q4_K") == std::string::npos, warning.c_str());
    }

    void everyTensorType_data()
    {
        QTest::addColumn<int>("number");
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<int>("bytes");  // of 256 elements
        const auto row = [](int number, const char* name, int block, int blockBytes) {
            QTest::newRow(name) << number << QByteArray(name) << 256 / block * blockBytes;
        };
        row(0, "F32", 1, 4);
        row(1, "F16", 1, 2);
        row(2, "q4_0", 32, 18);
        row(3, "q4_1", 32, 20);
        row(6, "q5_0", 32, 22);
        row(7, "q5_1", 32, 24);
        row(8, "q8_0", 32, 34);
        row(9, "q8_1", 32, 36);
        row(10, "q2_K", 256, 84);
        row(11, "q3_K", 256, 110);
        row(12, "q4_K", 256, 144);
        row(13, "q5_K", 256, 176);
        row(14, "q6_K", 256, 210);
        row(15, "q8_K", 256, 292);
        row(16, "iq2_xxs", 256, 66);
        row(17, "iq2_xs", 256, 74);
        row(18, "iq3_xxs", 256, 98);
        row(19, "iq1_s", 256, 50);
        row(20, "iq4_nl", 32, 18);
        row(21, "iq3_s", 256, 110);
        row(22, "iq2_s", 256, 82);
        row(23, "iq4_xs", 256, 136);
        row(24, "I8", 1, 1);
        row(25, "I16", 1, 2);
        row(26, "I32", 1, 4);
        row(27, "I64", 1, 8);
        row(28, "F64", 1, 8);
        row(29, "iq1_m", 256, 56);
        row(30, "BF16", 1, 2);
        row(34, "tq1_0", 256, 54);
        row(35, "tq2_0", 256, 66);
        row(39, "mxfp4", 32, 17);
        row(40, "nvfp4", 64, 36);
        row(41, "q1_0", 128, 18);
        row(42, "q2_0", 64, 18);
    }

    void everyTensorType()
    {
        QFETCH(const int, number);
        QFETCH(const QByteArray, name);
        QFETCH(const int, bytes);
        tests::CheckpointFolder folder;
        const auto model = openModel(folder.write(
            "a.gguf", llama().tensor("w.weight", {256, 3}, std::uint32_t(number), std::uint64_t(3 * bytes)).file()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto& view = (*model)->tensors[0].view;
        QCOMPARE(nameOf(view.dtype), std::string_view(name.constData()));
        QCOMPARE(view.bytes.size(), std::size_t(3 * bytes));
        QVERIFY(view.decodable());
    }

    void versionTwo()
    {
        auto builder = llama();
        builder.version = 2;
        tests::CheckpointFolder folder;
        QVERIFY(openModel(folder.write("a.gguf", builder.tensor("w.weight", {4, 4}, 0, 64).file())));
    }

    void alignmentOfItsOwn()
    {
        auto builder = llama();
        builder.alignment = 4096;
        builder.u32("general.alignment", 4096).tensor("a.weight", {3}, 0, 12).tensor("b.weight", {3}, 0, 12);
        tests::CheckpointFolder folder;
        const auto model = openModel(folder.write("a.gguf", builder.file()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors[1].offset, std::uint64_t(8192));
    }

    void refuses_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<int>("code");
        QTest::addColumn<int>("offset");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char* name, const std::string& file, ErrorCode code, std::size_t offset,
                             const char* reason) {
            QTest::newRow(name) << QByteArray(file.data(), qsizetype(file.size())) << int(code) << int(offset)
                                << QByteArray(reason);
        };
        const auto whole = GgufBuilder().u32("k", 1).tensor("w.weight", {4, 4}, 0, 64).file();
        const auto kBad = ErrorCode::Malformed;
        const auto kCut = ErrorCode::Truncated;
        const auto kUnsupported = ErrorCode::Unsupported;
        const auto versioned = [&](std::uint32_t version) {
            auto builder = llama();
            builder.version = version;
            return builder.file();
        };
        const auto counted = [](std::int64_t tensors, std::int64_t keys, std::size_t more = 0) {
            return std::string("GGUF") + raw(std::uint32_t {3}) + raw(tensors) + raw(keys) + std::string(more, '\0');
        };

        // The first 24 bytes.
        row("magic alone", "GGUF", kCut, 4, "first 8 bytes");
        row("version cut", std::string("GGUF\3\0\0", 7), kCut, 4, "first 8 bytes");
        row("version 0", versioned(0), kUnsupported, 4, "version 0");
        row("version 1", versioned(1), kUnsupported, 4, "convert");
        row("version 4", versioned(4), kUnsupported, 4, "version 4");
        row("big-endian", versioned(0x03000000), kUnsupported, 4, "big-endian");
        row("ggml", "lmgg" + std::string(40, '\0'), kUnsupported, 0, "'ggml' file from before GGUF");
        row("ggjt", "tjgg" + std::string(40, '\0'), kUnsupported, 0, "'ggjt' file from before GGUF");
        row("ggmf, other order", "ggmf" + std::string(40, '\0'), kUnsupported, 0, "'ggmf' file from before GGUF");
        row("counts cut", counted(0, 0).substr(0, 12), kCut, 8, "number of tensors");
        row("tensors negative", counted(-1, 0), kBad, 8, "negative number of tensors");
        row("tensors 2^63-1", counted(std::numeric_limits<std::int64_t>::max(), 0), kCut, 8,
            "9223372036854775807 tensors");
        row("keys negative", counted(0, std::numeric_limits<std::int64_t>::min()), kBad, 16,
            "negative number of metadata keys");
        row("keys 2^40", counted(0, std::int64_t {1} << 40U, 100), kCut, 16, "only 100 bytes follow");
        row("keys above a million", counted(0, 1'000'001, 14'000'014), kBad, 16, "more than a million");
        row("tensors above a million", counted(1'000'001, 0, 26'000'000), kBad, 8, "more than a million");

        // Metadata. The first key begins at byte 24; "k" and its type end at byte 37.
        const auto key = [](std::uint32_t type, const std::string& value) {
            return GgufBuilder().key("k", type, value).file();
        };
        row("cut inside a key", GgufBuilder().u32(std::string(40, 'k'), 1).header().substr(0, 60), kCut, 24,
            "ends inside a metadata key");
        row("key length past end", counted(0, 1) + raw(std::uint64_t {60'000}) + std::string(20, 'k'), kCut, 24,
            "a metadata key");
        row("key length 2^64-1", counted(0, 1) + raw(~std::uint64_t {0}) + std::string(20, 'k'), kBad, 24,
            "18446744073709551615 bytes");
        row("key empty", GgufBuilder().key("", U8, "x").u32("more", 1).file(), kBad, 24, "0 bytes");
        row("key with bad UTF-8", GgufBuilder().u32("k\xff", 1).file(), kBad, 32, "not valid UTF-8");
        row("key with NUL", GgufBuilder().u32(std::string("k\0k", 3), 1).file(), kBad, 32, "not valid UTF-8");
        row("key twice", GgufBuilder().u32("k", 1).u32("j", 1).u32("k", 1).file(), kBad, 24 + 2 * 17,
            "'k' occurs twice");
        row("value type 13", key(13, "xxxx"), kBad, 33, "type 13");
        row("value type 2^32-1", key(~0U, "xxxx"), kBad, 33, "type 4294967295");
        row("value cut", GgufBuilder().key("k", F64, "xxxx").header(), kCut, 37, "ends inside its value");
        row("bool of 2", key(Bool, "\2"), kBad, 37, "neither 0 nor 1");
        row("text past end", GgufBuilder().key("k", Text, raw(std::uint64_t {100}) + "abc").header(), kCut, 37,
            "only 3 follow");
        row("text length 2^64-1", GgufBuilder().key("k", Text, raw(~std::uint64_t {0}) + "abc").header(), kCut, 37,
            "only 3 follow");
        row("text length 2^63", GgufBuilder().key("k", Text, raw(std::uint64_t {1} << 63U)).header(), kCut, 37,
            "only 0 follow");
        row("array type 13", key(Array, array(13, 1, "x")), kBad, 37, "type 13");
        row("array of arrays", key(Array, array(Array, 1, array(U8, 1, "x"))), kBad, 37, "array of arrays");
        row("array count past end", GgufBuilder().key("k", Array, array(U32, 3, "xxxxxxxx")).header(), kCut, 41,
            "only 8 bytes follow");
        row("array count 2^62", GgufBuilder().key("k", Array, array(U32, std::uint64_t {1} << 62U, "xxxx")).header(),
            kCut, 41, "elements");
        row("array count 2^64-1", GgufBuilder().key("k", Array, array(U8, ~std::uint64_t {0}, "x")).header(), kCut, 41,
            "elements");
        row("texts past end", GgufBuilder().key("k", Array, array(Text, 3, ggufText("a"))).header(), kCut, 41,
            "3 elements");
        row("text in array past end",
            GgufBuilder().key("k", Array, array(Text, 2, ggufText("aaaaaaaa") + raw(std::uint64_t {9}))).header(), kCut,
            65, "only 0 follow");
        row("bools of 7", key(Array, array(Bool, 3, std::string("\0\1\7", 3))), kBad, 51, "neither 0 nor 1");

        // Alignment. The value of the only key begins at byte 24 + 8 + 17 + 4.
        const auto aligned = [](std::uint32_t type, const std::string& value) {
            return GgufBuilder().key("general.alignment", type, value).file();
        };
        row("alignment 0", aligned(U32, raw(std::uint32_t {0})), kBad, 53, "general.alignment is 0");
        row("alignment 24", aligned(U32, raw(std::uint32_t {24})), kBad, 53, "power of two");
        row("alignment 2^31", aligned(U32, raw(std::uint32_t {1} << 31U)), kBad, 53, "65,536");
        row("alignment of type u64", aligned(U64, raw(std::uint64_t {32})), kBad, 53, "type u32");
        row("alignment a text", aligned(Text, ggufText("32")), kBad, 61, "type u32");

        // Tensors. Without metadata the first one begins at byte 24; after an 8-byte name its rank is at byte 40.
        const auto tensor = [](const std::string& name, const std::vector<std::int64_t>& dims, std::uint32_t type,
                                std::uint64_t bytes) { return GgufBuilder().tensor(name, dims, type, bytes).file(); };
        row("name of 64 bytes", tensor(std::string(64, 'n'), {4}, 0, 16), kBad, 24, "64 bytes, more than 63");
        row("name empty", tensor("", {4}, 0, 16), kBad, 24, "0 bytes");
        row("name with bad UTF-8", tensor("w\xc0\xaf", {4}, 0, 16), kBad, 32, "not valid UTF-8");
        row("name twice", GgufBuilder().tensor("w.weight", {4}, 0, 16).tensor("w.weight", {4}, 0, 16).file(), kBad,
            24 + 40, "'w.weight' occurs twice");
        row("rank 5", tensor("w.weight", {1, 1, 1, 1, 1}, 0, 4), kBad, 40, "5 dimensions");
        row("rank 2^32-1", counted(1, 0) + ggufText("w.weight") + raw(~std::uint32_t {0}) + std::string(64, '\1'), kBad,
            40, "4294967295 dimensions");
        row("dimension negative", tensor("w.weight", {4, -1}, 0, 16), kBad, 52, "negative dimension");
        row("dimensions overflow", tensor("w.weight", {std::int64_t {1} << 32U, std::int64_t {1} << 32U}, 0, 16), kBad,
            40, "overflows");
        row("dimensions 2^63-1", tensor("w.weight", {std::numeric_limits<std::int64_t>::max()}, 24, 16), kBad, 40,
            "overflows");
        row("dimensions overflow behind 0",
            tensor("w.weight", {0, std::int64_t {1} << 32U, std::int64_t {1} << 32U}, 0, 0), kBad, 40, "overflows");
        row("bytes overflow", tensor("w.weight", {std::int64_t {1} << 61U}, 28, 16), kBad, 52, "its size overflows");
        row("description cut", GgufBuilder().tensor("w.weight", {4}, 0, 16).header().substr(0, 60), kCut, 56,
            "tensor's description");
        row("type removed", tensor("w.weight", {256}, 4, 160), kUnsupported, 52, "tensor type 4");
        row("type 36", tensor("w.weight", {256}, 36, 160), kUnsupported, 52, "tensor type 36");
        row("type 43", tensor("w.weight", {256}, 43, 160), kUnsupported, 52, "tensor type 43");
        row("type 2^31", tensor("w.weight", {256}, std::uint32_t {1} << 31U, 160), kUnsupported, 52,
            "tensor type 2147483648");
        row("type of another program", tensor("w.weight", {256}, 137, 160), kUnsupported, 52, "tensor type 137");
        row("rows of part blocks", tensor("w.weight", {100, 32}, 2, 1800), kBad, 60, "whole blocks of q4_0");
        row("offset of a hole",
            GgufBuilder().tensor("v.weight", {4}, 0, 16).tensorAt("w.weight", {4}, 0, 16, 64).file(), kBad, 64,
            "begin at 64");
        row("offset of an overlap",
            GgufBuilder().tensor("v.weight", {4}, 0, 16).tensorAt("w.weight", {4}, 0, 16, 0).file(), kBad, 64,
            "begin at 0");
        row("offset not aligned",
            GgufBuilder().tensor("v.weight", {4}, 0, 16).tensorAt("w.weight", {4}, 0, 16, 16).file(), kBad, 64,
            "begin at 16");
        row("offset 2^64-32",
            GgufBuilder().tensorAt("w.weight", {4}, 0, 16, ~std::uint64_t {31}).header() + std::string(64, '\0'), kBad,
            24, "begin at 18446744073709551584");
        row("first offset not 0", GgufBuilder().tensorAt("w.weight", {4}, 0, 16, 32).file(), kBad, 24, "not at 0");
        row("data cut", whole.substr(0, whole.size() - 1), kCut, 41, "'w.weight': its 64 bytes reach past the end");
        row("no data", GgufBuilder().tensor("w.weight", {4}, 0, 16).header(), kCut, 24, "reach past the end");
        row("data of 2^62 bytes", tensor("w.weight", {std::int64_t {1} << 60U}, 0, 16), kCut, 24,
            "4611686018427387904 bytes");
    }

    void refuses()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const int, code);
        QFETCH(const int, offset);
        QFETCH(const QByteArray, reason);
        tests::CheckpointFolder folder;
        const auto path = folder.write("broken.gguf", {file.constData(), std::size_t(file.size())});
        const auto model = openModel(path);
        QVERIFY(!model);
        const auto text = describe(model.error());
        QVERIFY2(int(model.error().code) == code, text.c_str());
        QCOMPARE(model.error().where, path.string());
        QVERIFY(model.error().offset.has_value());
        QVERIFY2(*model.error().offset == std::uint64_t(offset), text.c_str());
        QVERIFY2(model.error().reason.find(reason.constData()) != std::string::npos, text.c_str());
    }

    void warns_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<QByteArray>("warning");
        const auto row = [](const char* name, const std::string& file, const char* warning) {
            QTest::newRow(name) << QByteArray(file.data(), qsizetype(file.size())) << QByteArray(warning);
        };
        row("no architecture", GgufBuilder().tensor("w.weight", {4}, 0, 16).file(), "general.architecture");
        row("bytes at the end", llama().tensor("w.weight", {4}, 0, 16).file() + "rest",
            "4 bytes after the last tensor");
        row("block beyond the count", llama().tensor("blk.2.attn_q.weight", {4, 4}, 0, 64).file(),
            "beyond the 2 blocks that the file says it has: 1");
        row("blocks missing", llama().tensor("blk.0.attn_q.weight", {4, 4}, 0, 64).file(),
            "part of the model is missing");
        row("figures by block",
            llama()
                .key("llama.feed_forward_length", Array, array(U32, 2, raw(std::uint32_t {5}) + raw(std::uint32_t {7})))
                .file(),
            "llama.feed_forward_length differs");
    }

    void warns()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const QByteArray, warning);
        tests::CheckpointFolder folder;
        const auto model = openModel(folder.write("a.gguf", {file.constData(), std::size_t(file.size())}));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        std::string all;
        for (const auto& text : (*model)->warnings)
            all += text + "\n";
        QVERIFY2(all.find(warning.constData()) != std::string::npos, all.c_str());
    }

    void headWithoutTensors()
    {
        tests::CheckpointFolder folder;
        const auto model = openModel(folder.write("vocabulary.gguf", llama().header()));
        QVERIFY(model);
        QVERIFY((*model)->tensors.empty());
        QVERIFY2((*model)->warnings.back().starts_with("The model has no tensors"), (*model)->warnings.back().c_str());
    }
};

QTEST_APPLESS_MAIN(TestGguf)
#include "tst_gguf.moc"
