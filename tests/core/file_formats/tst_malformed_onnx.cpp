// SPDX-License-Identifier: GPL-3.0-or-later
// ONNX files broken in one chosen place: each ends in an error of a known kind, within a second and 256 MB.
#include "tests/support/bounded_open.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/onnx_file.h"

#include <QTest>

#include <limits>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

constexpr auto kBad = ErrorCode::Malformed;
constexpr auto kCut = ErrorCode::Truncated;
constexpr auto kUnknown = ErrorCode::Unsupported;

std::string key(std::uint64_t field, unsigned type)
{
    return varint(field << 3U | type);
}

std::string model(std::string_view graph)
{
    return number(1, 8) + bytes(7, graph);
}

/// A model whose only tensor is this.
std::string holding(std::string_view tensor)
{
    return model(bytes(5, tensor));
}

std::string floats(std::size_t count)
{
    return bytes(9, std::string(4 * count, '\0'));
}

/// A graph inside the nodes of a graph, `depth` times.
std::string nested(int depth)
{
    std::string graph;
    for (int i = 0; i < depth; ++i)
        graph = bytes(1, bytes(4, "If") + bytes(5, bytes(1, "g") + bytes(6, graph)));
    return graph;
}

}  // namespace

class TestMalformedOnnx : public QObject
{
    Q_OBJECT

    CheckpointFolder m_folder;

private Q_SLOTS:
    void refuses_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<int>("code");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char* name, const std::string& file, ErrorCode code, const char* reason) {
            QTest::newRow(name) << QByteArray(file.data(), qsizetype(file.size())) << int(code) << QByteArray(reason);
        };
        const auto huge = std::numeric_limits<std::int64_t>::max();

        // The wire.
        row("no graph", number(1, 8) + bytes(2, "pytorch"), kBad, "without a graph");
        row("version only", number(1, 8), kBad, "without a graph");
        row("two graphs", model("") + bytes(7, ""), kBad, "occurs twice");
        row("graph a number", number(1, 8) + bytes(2, "p") + number(7, 1), kBad, "is a number");
        row("field 0", number(1, 8) + key(0, 0) + "\1", kBad, "number 0");
        row("field above 2^29", model("") + key(1ULL << 29U, 0) + "\1", kBad, "number 536870912");
        row("group begins", model(key(1, 3)), kBad, "wire type 3");
        row("group ends", model(key(1, 4)), kBad, "wire type 4");
        row("wire type 6", model(key(1, 6)), kBad, "wire type 6");
        row("wire type 7", model(key(1, 7)), kBad, "wire type 7");
        row("key without end", model("") + "\xff", kCut, "ends inside");
        row("key above 64 bits", model("") + std::string(11, '\xff'), kBad, "64 bits");
        row("number above 64 bits", model(key(3, 0) + std::string(11, '\xff')), kBad, "64 bits");
        row("tenth byte too large", model(key(3, 0) + std::string(9, '\xff') + "\2" + "\2"), kBad, "64 bits");
        row("length past the end", number(1, 8) + key(7, 2) + varint(9) + "abc", kCut, "ends inside");
        row("length 2^63", number(1, 8) + key(7, 2) + varint(1ULL << 63U), kCut, "ends inside");
        row("length 2^64-1", number(1, 8) + key(7, 2) + varint(~0ULL), kCut, "ends inside");
        row("length past its message", model(key(2, 2) + varint(9) + "abc") + bytes(2, "a producer"), kBad, "out of");
        row("fixed32 cut short", model(key(9, 5) + "abc"), kCut, "ends inside");
        row("fixed64 cut short", model(key(9, 1) + "abcdefg"), kCut, "ends inside");
        row("fixed64 past its message", model(key(9, 1) + "abcdefg") + bytes(2, "p"), kBad, "out of");

        // Tensors.
        row("tensor a number", model(number(5, 1)), kBad, "is a number");
        row("no name", holding(number(1, 1) + number(2, 1) + floats(1)), kBad, "without a name");
        row("two names", holding(onnxTensor("a", 1, {1}, bytes(8, "b") + floats(1))), kBad, "two names");
        row("name a number", holding(number(8, 7)), kBad, "is a number");
        row("name not UTF-8", holding(onnxTensor("\xff", 1, {1}, floats(1))), kBad, "UTF-8");
        row("name a surrogate", holding(onnxTensor("\xed\xa0\x80", 1, {1}, floats(1))), kBad, "UTF-8");
        row("NUL in name", holding(onnxTensor(std::string_view("a\0b", 3), 1, {1}, floats(1))), kBad, "UTF-8");
        row("endless name", holding(onnxTensor(std::string(65'536, 'n'), 1, {1}, floats(1))), kBad, "65536 bytes");
        row("name twice",
            model(bytes(5, onnxTensor("w", 1, {1}, floats(1))) + bytes(5, onnxTensor("w", 1, {1}, floats(1)))), kBad,
            "'w' is made twice");
        row("no type", holding(onnxTensor("w", 0, {1}, floats(1))), kUnknown, "type 0");
        row("type 27", holding(onnxTensor("w", 27, {1}, floats(1))), kUnknown, "type 27");
        row("negative type", holding(onnxTensor("w", -1, {1}, floats(1))), kUnknown, "type -1");
        row("negative extent", holding(onnxTensor("w", 1, {-1}, floats(1))), kBad, "negative extent");
        row("rank 9", holding(onnxTensor("w", 1, std::vector<std::int64_t>(9, 1), floats(1))), kUnknown,
            "8 dimensions");
        row("extents overflow", holding(onnxTensor("w", 1, {huge, 4}, floats(1))), kBad, "overflows");
        row("extents overflow behind a zero", holding(onnxTensor("w", 1, {0, huge, huge}, "")), kBad, "overflows");
        row("bytes overflow", holding(onnxTensor("w", 7, {huge}, floats(1))), kBad, "overflows");
        row("extents not packed whole", holding(bytes(1, "\x80") + number(2, 1) + bytes(8, "w")), kBad, "no end");
        row("extents fixed", holding(key(1, 5) + "abcd" + number(2, 1)), kBad, "wire type");
        row("too few bytes", holding(onnxTensor("w", 1, {3}, floats(2))), kBad, "8 bytes, but its shape asks for 12");
        row("too many bytes", holding(onnxTensor("w", 1, {1}, floats(2))), kBad, "8 bytes, but its shape asks for 4");
        row("no bytes", holding(onnxTensor("w", 1, {1}, "")), kBad, "0 bytes");
        row("bytes for nothing", holding(onnxTensor("w", 1, {0}, floats(1))), kBad, "asks for 0");
        row("huge shape, few bytes", holding(onnxTensor("w", 2, {1'000'000'000'000}, bytes(9, "ab"))), kBad, "2 bytes");
        row("half a byte too few", holding(onnxTensor("w", 22, {5}, bytes(9, "ab"))), kBad, "asks for 3");
        row("raw twice", holding(onnxTensor("w", 1, {1}, floats(1) + floats(1))), kBad, "occurs twice");
        row("raw and typed", holding(onnxTensor("w", 1, {1}, floats(1) + bytes(4, raw(1.0F)))), kBad, "given twice");
        row("two typed fields", holding(onnxTensor("w", 1, {1}, bytes(4, raw(1.0F)) + number(5, 1))), kBad,
            "given twice");
        row("typed and outside", holding(onnxTensor("w", 1, {1}, bytes(4, raw(1.0F)) + number(14, 1))), kBad,
            "given twice");
        row("field of another type", holding(onnxTensor("w", 1, {1}, number(5, 1))), kBad, "another type");
        row("float_data not whole", holding(onnxTensor("w", 1, {1}, bytes(4, "abcde"))), kBad, "not whole");
        row("too few float_data", holding(onnxTensor("w", 1, {2}, bytes(4, raw(1.0F)))), kBad, "1 numbers");
        row("too many int32_data", holding(onnxTensor("w", 3, {1}, bytes(5, "\1\2"))), kBad, "2 numbers");
        row("int32_data without end", holding(onnxTensor("w", 3, {1}, bytes(5, "\x80"))), kBad, "no end");
        row("segments", holding(onnxTensor("w", 1, {1}, bytes(3, "") + floats(1))), kUnknown, "segments");
        row("stored elsewhere", holding(onnxTensor("w", 1, {1}, number(14, 2))), kUnknown, "place 2");

        // Graphs.
        const auto node = [](std::string_view content) { return bytes(1, content); };
        row("node a number", model(number(1, 1)), kBad, "is a number");
        row("value twice", model(node(bytes(2, "y")) + node(bytes(2, "y"))), kBad, "'y' is made twice");
        row("value and tensor", model(bytes(5, onnxTensor("y", 1, {1}, floats(1))) + node(bytes(2, "y"))), kBad,
            "twice");
        row("value not UTF-8", model(node(bytes(1, "\xc0\xaf"))), kBad, "UTF-8");
        row("type of a node a number", model(node(number(4, 1))), kBad, "is a number");
        row("attribute a number", model(node(number(5, 1))), kBad, "is a number");
        row("constant of two values",
            model(
                node(bytes(2, "c") + bytes(4, "Constant") + bytes(5, bytes(1, "value") + bytes(5, "") + bytes(5, "")))),
            kBad, "two values");
        row("graphs 17 deep", model(nested(17)), kBad, "deeper than 16");
        row("graphs 3,000 deep", model(nested(3'000)), kBad, "deeper than 16");
        OnnxBuilder groups;
        groups.tensor("w", 1, {3, 2, 2}, std::vector<float>(12, 1.0F))
            .node("ConvTranspose", {"x", "w"}, "y", attribute("group", 2));
        row("groups that do not divide", groups.file(), kBad, "2 groups");
        OnnxBuilder none;
        none.tensor("w", 1, {3, 2, 2}, std::vector<float>(12, 1.0F))
            .node("ConvTranspose", {"x", "w"}, "y", attribute("group", 0));
        row("no groups", none.file(), kBad, "0 groups");
    }

    void refuses()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const int, code);
        QFETCH(const QByteArray, reason);
        QUANTLOUPE_REFUSES(m_folder.write("m.onnx", file.toStdString()), ErrorCode(code), reason.constData());
    }

    void outside_data()
    {
        QTest::addColumn<QByteArray>("location");
        QTest::addColumn<QByteArray>("offset");
        QTest::addColumn<int>("code");
        const auto row = [](const char* name, const QByteArray& location, const QByteArray& offset, ErrorCode code) {
            QTest::newRow(name) << location << offset << int(code);
        };
        const auto missing = ErrorCode::CannotOpen;
        row("no file", "", "0", kBad);
        row("folder itself", ".", "0", kBad);
        row("folder above", "..", "0", kBad);
        row("file above", "../weights.bin", "0", kBad);
        row("up and down", "data/../../weights.bin", "0", kBad);
        row("down and up", "data/../weights.bin", "0", kBad);
        row("absolute", "/etc/passwd", "0", kBad);
        row("double slash", "data//weights.bin", "0", kBad);
        row("slash at the end", "weights.bin/", "0", kBad);
        row("dot between", "data/./weights.bin", "0", kBad);
        row("dot twice", "././weights.bin", "0", kBad);
        row("backslash", "data\\weights.bin", "0", kBad);
        row("drive", "C:weights.bin", "0", kBad);
        row("network", "\\\\server\\share", "0", kBad);
        row("NUL", QByteArray("weights.bin\0x", 13), "0", kBad);
        row("long name", QByteArray(256, 'n'), "0", kBad);
        row("long path", QByteArray("d/").repeated(3'000) + "w", "0", kBad);
        row("address in memory", "*/_ORT_MEM_ADDR_/", "0", kBad);
        row("not there", "other.bin", "0", missing);
        row("folder", "data", "0", missing);
        row("through a file", "weights.bin/w", "0", missing);
        row("link to a file", "link.bin", "0", missing);
        row("link to outside", "outside.bin", "0", missing);
        row("through a link", "linked/weights.bin", "0", missing);
        row("second name", "hard.bin", "0", missing);
        row("offset past the end", "weights.bin", "9", kCut);
        row("offset 2^64-1", "weights.bin", "18446744073709551615", kCut);
        row("offset above 64 bits", "weights.bin", "18446744073709551616", kBad);
        row("negative offset", "weights.bin", "-1", kBad);
        row("offset in words", "weights.bin", "one", kBad);
        row("offset and more", "weights.bin", "1 ", kBad);
        row("empty offset", "weights.bin", "", kBad);
    }

    void outside()
    {
        QFETCH(const QByteArray, location);
        QFETCH(const QByteArray, offset);
        QFETCH(const int, code);
        namespace fs = std::filesystem;
        m_folder.write("weights.bin", "12345678");
        m_folder.write("twin.bin", "12345678");
        std::error_code ignored;
        fs::create_directory(m_folder.path() / "data", ignored);
        fs::create_symlink("weights.bin", m_folder.path() / "link.bin", ignored);
        fs::create_symlink("/etc/passwd", m_folder.path() / "outside.bin", ignored);
        fs::create_directory_symlink(".", m_folder.path() / "linked", ignored);
        fs::remove(m_folder.path() / "hard.bin", ignored);
        fs::create_hard_link(m_folder.path() / "twin.bin", m_folder.path() / "hard.bin", ignored);
        const auto file =
            OnnxBuilder().tensor(externalTensor("w", 1, {1}, location.toStdString(), offset.toStdString()));
        QUANTLOUPE_REFUSES(m_folder.write("m.onnx", file.file()), ErrorCode(code), "");
    }

    void lengthThatDoesNotFit()
    {
        m_folder.write("weights.bin", "12345678");
        const auto tensor = externalTensor("w", 1, {1}, "weights.bin") + bytes(13, entry("length", "8"));
        QUANTLOUPE_REFUSES(m_folder.write("m.onnx", OnnxBuilder().tensor(tensor).file()), kBad, "8 bytes");
    }

    /// Files that ask for much work with few bytes.
    void floods_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<bool>("refused");
        const auto row = [](const char* name, const std::string& file, bool refused) {
            QTest::newRow(name) << QByteArray(file.data(), qsizetype(file.size())) << refused;
        };
        const auto repeated = [](const std::string& part, std::size_t times) {
            std::string all;
            for (std::size_t i = 0; i < times; ++i)
                all += part;
            return all;
        };
        row("empty nodes", model(repeated(bytes(1, ""), 1'100'000)), true);
        std::string outputs, tensors;
        for (int i = 0; i < 400'000; ++i)
            outputs += bytes(1, bytes(2, std::to_string(i)));
        row("400,000 nodes", model(outputs), false);
        for (int i = 0; i < 150'000; ++i)
            tensors += bytes(5, onnxTensor(std::to_string(i), 1, {0}, ""));
        row("150,000 tensors of nothing", model(tensors), false);
        row("300,000 tensors of nothing", model(tensors + tensors), true);
        row("empty attributes", model(bytes(1, repeated(bytes(5, ""), 1'100'000))), true);
        row("empty inputs", model(bytes(1, repeated(bytes(1, ""), 1'000'000))), false);
        row("empty graphs", model(bytes(1, bytes(5, repeated(bytes(11, ""), 20'000)))), true);
        row("metadata", model("") + repeated(bytes(14, ""), 300'000), false);
        row("extents", holding(bytes(1, std::string(1'000'000, '\1'))), true);
        std::string circle;
        for (int i = 0; i < 20'000; ++i)
            circle += bytes(1,
                bytes(1, "v" + std::to_string((i + 1) % 20'000)) + bytes(2, "v" + std::to_string(i))
                    + bytes(4, "Identity"));
        row("values in a circle", model(circle), false);
        // Small tensors whose shared scales, put together number by number, would fill the memory.
        std::string shared = bytes(5, onnxTensor("s", 1, {50'000}, repeated(key(4, 5) + raw(1.0F), 50'000)));
        for (int i = 0; i < 2'000; ++i) {
            const auto name = "w" + std::to_string(i);
            shared += bytes(5, onnxTensor(name, 3, {0, 50'000}, ""))
                + bytes(1, bytes(1, name) + bytes(1, "s") + bytes(2, "d" + name) + bytes(4, "DequantizeLinear"));
        }
        row("shared scales", model(shared), false);
    }

    void floods()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const bool, refused);
        const auto opened = openBounded(m_folder.write("m.onnx", file.toStdString()));
        QVERIFY2(opened.cheap(), opened.cost().c_str());
        QVERIFY2(bool(opened.model) != refused, opened.model ? "" : describe(opened.model.error()).c_str());
        QVERIFY(opened.model || opened.model.error().code != ErrorCode::Internal);
    }
};

QTEST_APPLESS_MAIN(TestMalformedOnnx)
#include "tst_malformed_onnx.moc"
