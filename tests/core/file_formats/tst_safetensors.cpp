// SPDX-License-Identifier: GPL-3.0-or-later
#include "tests/support/checkpoint_files.h"

#include <QTest>

#include <fcntl.h>
#include <unistd.h>

using namespace quantloupe;
using tests::safetensorsFile;

namespace {

const std::string kOne = R"({"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}})";

std::string entry(std::string_view body)
{
    return std::string(R"({"w":{)").append(body).append("}}");
}

}  // namespace

class TestSafetensors : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void listsTensors()
    {
        tests::CheckpointFolder folder;
        const auto path = folder.write("a.safetensors",
            safetensorsFile(
                R"({"__metadata__":{"format":"pt","quantloupe.synthetic":"true"},)"
                R"("b.bias":{"dtype":"F16","shape":[3],"data_offsets":[24,30]},)"
                R"("model.layers.2.mlp.up_proj.weight":{"shape":[2,3],"data_offsets":[0,24],"dtype":"F32"},)"
                R"("scalar":{"dtype":"I64","shape":[],"data_offsets":[30,38]},)"
                R"("none":{"dtype":"F32","shape":[0,5],"data_offsets":[38,38]},)"
                R"("nibbles":{"dtype":"F4","shape":[3,2],"data_offsets":[38,41]}}   )",
                41));
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->format, std::string("safetensors"));
        QVERIFY((*model)->synthetic);
        QCOMPARE((*model)->metadata.size(), std::size_t(2));
        const auto& tensors = (*model)->tensors;
        QCOMPARE(tensors.size(), std::size_t(5));
        // In the order of their data, not of their names in the header.
        QCOMPARE(tensors[0].name, std::string("model.layers.2.mlp.up_proj.weight"));
        QVERIFY(tensors[0].view.shape == Shape({2, 3}));
        QVERIFY(tensors[0].view.dtype == DType::F32);
        QCOMPARE(tensors[0].bytes(), std::uint64_t(24));
        QCOMPARE(tensors[0].offset + 41, std::uint64_t(std::filesystem::file_size(path)));
        QVERIFY(tensors[0].parts.role == TensorRole::Up);
        QVERIFY(tensors[0].parts.block == 2U);
        QVERIFY(tensors[0].quantizable());
        QVERIFY(tensors[1].parts.role == TensorRole::Bias);
        QCOMPARE(tensors[2].parameters(), std::uint64_t(1));
        QCOMPARE(tensors[3].parameters(), std::uint64_t(0));
        QCOMPARE(tensors[4].parameters(), std::uint64_t(6));
        QCOMPARE((*model)->parameters(), std::uint64_t(6 + 3 + 1 + 6));
        QCOMPARE((*model)->bytes(), std::uint64_t(41));
        QVERIFY((*model)->find("scalar") == std::size_t(2));
        QVERIFY(!(*model)->find("scala"));
        QVERIFY((*model)->quantizableTensors() == std::vector<std::size_t>({0}));
    }

    void everyTypeOfTheFormat_data()
    {
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<int>("bits");
        for (const auto* name : {"BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"})
            QTest::newRow(name) << QByteArray(name) << 8;
        for (const auto* name : {"I16", "U16", "F16", "BF16"})
            QTest::newRow(name) << QByteArray(name) << 16;
        for (const auto* name : {"I32", "U32", "F32"})
            QTest::newRow(name) << QByteArray(name) << 32;
        for (const auto* name : {"I64", "U64", "F64", "C64"})
            QTest::newRow(name) << QByteArray(name) << 64;
        QTest::newRow("F4") << QByteArray("F4") << 4;
        QTest::newRow("F6_E2M3") << QByteArray("F6_E2M3") << 6;
        QTest::newRow("F6_E3M2") << QByteArray("F6_E3M2") << 6;
    }

    void everyTypeOfTheFormat()
    {
        QFETCH(const QByteArray, name);
        QFETCH(const int, bits);
        const int bytes = 8 * bits / 8;
        tests::CheckpointFolder folder;
        const auto json = QString(R"({"w":{"dtype":"%1","shape":[2,4],"data_offsets":[0,%2]}})").arg(name).arg(bytes);
        const auto path = folder.write("a.safetensors", safetensorsFile(json.toStdString(), std::size_t(bytes)));
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE(nameOf((*model)->tensors[0].view.dtype), std::string_view(name.constData()));
        QCOMPARE((*model)->tensors[0].bytes(), std::uint64_t(bytes));
    }

    void refuses_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<int>("code");
        QTest::addColumn<int>("offset");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char* name, const std::string& file, ErrorCode code, int offset, const char* reason) {
            QTest::newRow(name) << QByteArray(file.data(), qsizetype(file.size())) << int(code) << offset
                                << QByteArray(reason);
        };
        const auto bad = [&](const char* name, const std::string& json, std::size_t payload, int offset,
                             const char* reason) {
            row(name, safetensorsFile(json, payload), ErrorCode::Malformed, offset, reason);
        };
        const auto length = [](std::uint64_t stated, const std::string& rest) { return tests::raw(stated) + rest; };

        // The first eight bytes.
        row("empty", {}, ErrorCode::NotThisFormat, 0, "empty");
        row("seven bytes", std::string(7, '\1'), ErrorCode::Truncated, 0, "8 bytes");
        row("header past end", length(99, "{}"), ErrorCode::Truncated, 0, "99 bytes");
        row("header above limit", length(100'000'001, "{}"), ErrorCode::Malformed, 0, "100 MB");
        row("header length 2^63", length(std::uint64_t {1} << 63U, "{}"), ErrorCode::Malformed, 0, "100 MB");
        row("header length 2^64-1", length(~std::uint64_t {0}, "{}"), ErrorCode::Malformed, 0, "100 MB");
        row("header of no bytes", length(0, ""), ErrorCode::Malformed, 8, "not a JSON object");
        row("cut inside header", safetensorsFile(kOne, 24).substr(0, 40), ErrorCode::Truncated, 0, "header");
        row("cut inside data", safetensorsFile(kOne, 23), ErrorCode::Truncated, 9, "'w'");
        row("Git LFS pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:9e\nsize 4\n",
            ErrorCode::NotThisFormat, 0, "git lfs pull");
        row("pickle", "\x80\2}.", ErrorCode::NotThisFormat, 0, "pickle");
        row("zip", std::string("PK\3\4") + std::string(40, '\0'), ErrorCode::NotThisFormat, 0, "zip");

        // The JSON text.
        bad("list", "[]", 0, 8, "not a JSON object");
        bad("cut short", R"({"w":)", 0, 12, "does not end");
        bad("key without value", R"({"w"})", 0, 12, "not valid JSON");
        bad("comma at the end", R"({"w":{"dtype":"F32","shape":[],"data_offsets":[0,4]},})", 4, 61, "not valid JSON");
        bad("second object", kOne + "{}", 24, 65, "not valid JSON");
        bad("line feed after", kOne + "\n", 24, 65, "spaces");
        bad("zero bytes after", kOne + std::string(7, '\0'), 24, 71, "spaces");
        bad("comment", "{/**/}", 0, 9, "not valid JSON");
        bad("NaN", entry(R"("dtype":NaN)"), 0, 22, "not valid JSON");
        bad("bad UTF-8 in name", "{\"w\xff\":{}}", 0, 11, "not valid JSON");
        bad("overlong UTF-8", "{\"\xc0\xaf\":{}}", 0, 10, "not valid JSON");
        bad("surrogate in UTF-8", "{\"\xed\xa0\x80\":{}}", 0, 11, "not valid JSON");
        bad("lone surrogate", R"({"\ud800":{}})", 0, 16, "not valid JSON");
        bad("NUL in name", R"({"w\u0000":{}})", 0, 9, "NUL");
        bad("deep lists", std::string(R"({"w":{"x":)") + std::string(100'000, '[') + "}", 0, 80, "deeper than 64");
        bad(
            "deep objects",
            [] {
                std::string json;
                for (int i = 0; i < 5'000; ++i)
                    json += R"({"a":)";
                return json + "}";
            }(),
            0, 8 + 64 * 5, "deeper than 64");

        // Names.
        bad("name twice",
            R"({"w":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"w":{"dtype":"F32","shape":[],"data_offsets":[4,8]}})",
            8, 61, "'w' occurs twice");
        bad("name twice, once escaped",
            R"({"w":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"\u0077":{"dtype":"F32","shape":[],"data_offsets":[4,8]}})",
            8, 61, "occurs twice");
        bad("field twice", entry(R"("dtype":"F32","dtype":"F32","shape":[],"data_offsets":[0,4])"), 4, 28,
            "'dtype' occurs twice");
        bad("empty name", R"({"":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4, 9, "0 bytes");
        bad("endless name",
            R"({")" + std::string(65'536, 'n') + R"(":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", 4, 9,
            "65536 bytes");
        bad("metadata not an object", R"({"__metadata__":[]})", 0, 24, "not an object");
        bad("metadata not text", R"({"__metadata__":{"a":1}})", 0, 29, "'a' is not text");

        // Fields.
        bad("entry not an object", R"({"w":7})", 0, 13, "not an object");
        bad("no dtype", entry(R"("shape":[1],"data_offsets":[0,4])"), 4, 46, "no dtype");
        bad("no shape", entry(R"("dtype":"F32","data_offsets":[0,4])"), 4, 48, "no shape");
        bad("no offsets", entry(R"("dtype":"F32","shape":[1])"), 4, 39, "no data_offsets");
        bad("one offset", entry(R"("dtype":"F32","shape":[1],"data_offsets":[0])"), 4, 58, "two numbers");
        bad("three offsets", entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])"), 4, 60, "more than 2");
        bad("dtype a number", entry(R"("dtype":7,"shape":[1],"data_offsets":[0,4])"), 4, 22, "dtype is not text");
        row("dtype unknown", safetensorsFile(entry(R"("dtype":"F8_E4M3FNUZ","shape":[4],"data_offsets":[0,4])"), 4),
            ErrorCode::Unsupported, 22, "'F8_E4M3FNUZ'");
        bad("shape a number", entry(R"("dtype":"F32","shape":1,"data_offsets":[0,4])"), 4, 36, "shape is not a list");
        bad("shape an object", entry(R"("dtype":"F32","shape":{},"data_offsets":[0,4])"), 4, 36, "shape is not a list");
        bad("shape in a list", entry(R"("dtype":"F32","shape":[[1]],"data_offsets":[0,4])"), 4, 37, "whole number");
        bad("extent negative", entry(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), 4, 37, "negative");
        bad("extent minus zero", entry(R"("dtype":"F32","shape":[-0],"data_offsets":[0,0])"), 0, 37, "negative");
        bad("extent 1.0", entry(R"("dtype":"F32","shape":[1.0],"data_offsets":[0,4])"), 4, 37, "whole number");
        bad("extent 1e0", entry(R"("dtype":"F32","shape":[1e0],"data_offsets":[0,4])"), 4, 37, "whole number");
        bad("extent text", entry(R"("dtype":"F32","shape":["1"],"data_offsets":[0,4])"), 4, 37, "whole number");
        bad("extent 2^63", entry(R"("dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4])"), 4, 37, "2^63");
        bad("extent 1e400", entry(R"("dtype":"F32","shape":[1e400],"data_offsets":[0,4])"), 4, 41, "not valid JSON");
        bad("rank 9", entry(R"("dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4])"), 4, 53, "more than 8");

        // Sizes.
        bad("product overflows", entry(R"("dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0])"), 0, 9,
            "overflows");
        bad("product overflows behind a zero",
            entry(R"("dtype":"F32","shape":[0,4294967296,4294967296],"data_offsets":[0,0])"), 0, 9, "overflows");
        bad("bytes overflow", entry(R"("dtype":"F64","shape":[4611686018427387904],"data_offsets":[0,0])"), 0, 9,
            "shape");
        bad("shape too small", entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,8])"), 8, 9, "needs 4 bytes");
        bad("shape too large", entry(R"("dtype":"F32","shape":[3],"data_offsets":[0,8])"), 8, 9, "needs 12 bytes");
        bad("half a byte", entry(R"("dtype":"F4","shape":[3],"data_offsets":[0,2])"), 2, 9, "shape");
        bad("offsets reversed", entry(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), 4, 9, "before they begin");
        row("offset past end", safetensorsFile(entry(R"("dtype":"F32","shape":[2],"data_offsets":[0,8])"), 4),
            ErrorCode::Truncated, 9, "has 4 bytes");
        row("offset 2^63-1",
            safetensorsFile(
                entry(R"("dtype":"U8","shape":[1],"data_offsets":[9223372036854775806,9223372036854775807])"), 4),
            ErrorCode::Truncated, 9, "has 4 bytes");

        // Layout.
        const auto two = [](int b, int c, int d) {
            return QString(
                R"({"v":{"dtype":"U8","shape":[%1],"data_offsets":[0,%1]},"w":{"dtype":"U8","shape":[%2],"data_offsets":[%3,%4]}})")
                .arg(b)
                .arg(d - c)
                .arg(c)
                .arg(d)
                .toStdString();
        };
        bad("hole", two(4, 5, 8), 8, 61, "a hole after 4");
        bad("overlap", two(4, 3, 8), 8, 61, "inside the tensor before");
        bad("the same bytes twice", two(8, 0, 8), 8, 61, "inside the tensor before");
        bad("hole at the start", R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})", 8, 9, "a hole after 0");
        bad("bytes after the last", kOne, 25, 8 + int(kOne.size()) + 24, "1 bytes after the last tensor");
        bad("bytes and no tensor", "{}", 1, 10, "1 bytes after");
    }

    void refuses()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const int, code);
        QFETCH(const int, offset);
        QFETCH(const QByteArray, reason);
        tests::CheckpointFolder folder;
        const auto path = folder.write("broken.safetensors", {file.constData(), std::size_t(file.size())});
        const auto model = openModel(path);
        QVERIFY(!model);
        const auto text = describe(model.error());
        QVERIFY2(int(model.error().code) == code, text.c_str());
        QCOMPARE(model.error().where, path.string());
        QVERIFY(model.error().offset.has_value());
        QVERIFY2(*model.error().offset == std::uint64_t(offset), text.c_str());
        QVERIFY2(model.error().reason.find(reason.constData()) != std::string::npos, text.c_str());
        QVERIFY2(text.size() < path.string().size() + 500, "a message is not the place for the file's content");
    }

    void warnsOfUnknownKeys()
    {
        tests::CheckpointFolder folder;
        const auto path = folder.write("a.safetensors",
            safetensorsFile(
                entry(R"("dtype":"F32","shape":[1],"data_offsets":[0,4],"note":{"dtype":[1,2]},"more":1)"), 4));
        const auto model = openModel(path);
        QVERIFY(model);
        QVERIFY((*model)->warnings.front().find("does not know: 2") != std::string::npos);
    }

    void extensionDoesNotMatter()
    {
        tests::CheckpointFolder folder;
        QVERIFY(openModel(folder.write("weights", safetensorsFile(kOne, 24))));
    }

    void missingFileAndFolder()
    {
        tests::CheckpointFolder folder;
        auto model = openModel(folder.path() / "absent.safetensors");
        QVERIFY(!model && model.error().code == ErrorCode::CannotOpen);
        model = openModel(folder.path());
        QVERIFY(!model && model.error().code == ErrorCode::NotThisFormat);
    }

    void fingerprintTellsModelsApart()
    {
        tests::CheckpointFolder folder;
        auto bytes = safetensorsFile(kOne, 24);
        const auto print = [&](const char* name) { return (*openModel(folder.write(name, bytes)))->fingerprint; };
        const auto first = print("a.safetensors");
        QCOMPARE(first.size(), std::size_t(32));
        QCOMPARE(print("copy.safetensors"), first);
        bytes.back() = '\1';
        QVERIFY(print("b.safetensors") != first);
    }

    /// 16 GB of weights that no byte of which exists: opening may look at headers and samples only.
    void opensSixteenGigabytesAtOnce()
    {
        constexpr std::uint64_t kTensor = std::uint64_t {1} << 26U;  // 64 MiB
        constexpr int kCount = 256;
        std::string json = "{";
        for (int i = 0; i < kCount; ++i) {
            json += QString(
                R"(%1"model.layers.%2.mlp.w%3.weight":{"dtype":"BF16","shape":[4096,8192],"data_offsets":[%4,%5]})")
                        .arg(i ? "," : "")
                        .arg(i / 8)
                        .arg(i % 8)
                        .arg(qulonglong(i) * kTensor)
                        .arg(qulonglong(i + 1) * kTensor)
                        .toStdString();
        }
        json += "}";
        tests::CheckpointFolder folder;
        const auto path = folder.write("huge.safetensors", safetensorsFile(json, 0));
        if (::truncate(path.c_str(), off_t(8 + json.size() + kCount * kTensor)) != 0)
            QSKIP("the file system has no sparse files");
        const auto model = openModel(path);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(kCount));
        QCOMPARE((*model)->bytes(), kCount * kTensor);
    }
};

QTEST_APPLESS_MAIN(TestSafetensors)
#include "tst_safetensors.moc"
