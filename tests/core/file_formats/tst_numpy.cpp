// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/measure.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/tensor_figures.h"
#include "tests/support/zip_files.h"

#include <QTest>

#include <algorithm>

using namespace quantloupe;
using tests::CheckpointFolder;
using tests::raw;
using tests::valuesOf;
using tests::ZipBuilder;

namespace {

/// An array with this header and these bytes of elements.
std::string npyFile(const std::string& dictionary, const std::string& elements, int major = 1)
{
    auto header = dictionary;
    header.resize((header.size() + 12 + 63) / 64 * 64 + 52, ' ');
    header += '\n';
    const auto length =
        major == 1 ? raw(static_cast<std::uint16_t>(header.size())) : raw(static_cast<std::uint32_t>(header.size()));
    return "\x93NUMPY" + raw(static_cast<std::uint8_t>(major)) + raw('\0') + length + header + elements;
}

std::string dictionary(const std::string& type, const std::string& shape, bool fortran = false)
{
    return "{'descr': '" + type + "', 'fortran_order': " + (fortran ? "True" : "False") + ", 'shape': " + shape + ", }";
}

template<class Number>
std::string ramp(std::size_t count, bool swapped = false)
{
    std::string bytes;
    for (std::size_t i = 0; i < count; ++i) {
        auto one = raw(static_cast<Number>(i));
        if (swapped)
            std::reverse(one.begin(), one.end());
        bytes += one;
    }
    return bytes;
}

bool isRamp(const std::vector<float>& values, std::size_t count)
{
    for (std::size_t i = 0; i < count; ++i)
        if (values.size() != count || values[i] != float(i))
            return false;
    return true;
}

}  // namespace

class TestNumpy : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void readsArrays_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<QByteArray>("type");
        const auto row = [](const char* title, const std::string& file, const char* type) {
            QTest::newRow(title) << QByteArray(file.data(), qsizetype(file.size())) << QByteArray(type);
        };
        row("f4", npyFile(dictionary("<f4", "(2, 3)"), ramp<float>(6)), "F32");
        row("f8", npyFile(dictionary("<f8", "(2, 3)"), ramp<double>(6)), "F64");
        row("i1", npyFile(dictionary("|i1", "(2, 3)"), ramp<std::int8_t>(6)), "I8");
        row("u1", npyFile(dictionary("|u1", "(2, 3)"), ramp<std::uint8_t>(6)), "U8");
        row("i2", npyFile(dictionary("<i2", "(2, 3)"), ramp<std::int16_t>(6)), "I16");
        row("u2", npyFile(dictionary("<u2", "(2, 3)"), ramp<std::uint16_t>(6)), "U16");
        row("i4", npyFile(dictionary("<i4", "(2, 3)"), ramp<std::int32_t>(6)), "I32");
        row("u4", npyFile(dictionary("<u4", "(2, 3)"), ramp<std::uint32_t>(6)), "U32");
        row("i8", npyFile(dictionary("<i8", "(2, 3)"), ramp<std::int64_t>(6)), "I64");
        row("u8", npyFile(dictionary("=u8", "(2, 3)"), ramp<std::uint64_t>(6)), "U64");
        row("big-endian f4", npyFile(dictionary(">f4", "(2, 3)"), ramp<float>(6, true)), "F32");
        row("big-endian i8", npyFile(dictionary(">i8", "(2, 3)"), ramp<std::int64_t>(6, true)), "I64");
        row("big-endian u1", npyFile(dictionary(">u1", "(2, 3)"), ramp<std::uint8_t>(6, true)), "U8");
        row("version 2", npyFile(dictionary("<f4", "(2, 3)"), ramp<float>(6), 2), "F32");
        row("version 3", npyFile(dictionary("<f4", "(2, 3)"), ramp<float>(6), 3), "F32");
        row("Python 2", npyFile(dictionary("<f4", "(2L, 3L,)"), ramp<float>(6)), "F32");
        row("double quotes, other order",
            npyFile(R"({"shape":(2,3),"fortran_order":False,"descr":"<f4"})", ramp<float>(6)), "F32");
        std::string columns;  // first index fastest
        for (const int value : {0, 3, 1, 4, 2, 5})
            columns += raw(float(value));
        row("Fortran", npyFile(dictionary("<f4", "(2, 3)", true), columns), "F32");
        std::reverse(columns.begin(), columns.end());
        std::string swapped;
        for (std::size_t i = columns.size(); i > 0; i -= 4)
            swapped += columns.substr(i - 4, 4);
        row("Fortran, big-endian", npyFile(dictionary(">f4", "(2, 3)", true), swapped), "F32");
    }

    void readsArrays()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const QByteArray, type);
        const CheckpointFolder folder;
        ZipBuilder stored, deflated;
        stored.store("w.npy", file.toStdString());
        deflated.deflate("w.npy", file.toStdString());
        for (const auto& path : {folder.write("w.npy", file.toStdString()), folder.write("s.npz", stored.file()),
                 folder.write("d.npz", deflated.file())}) {
            const auto model = openModel(path);
            QVERIFY2(model, model ? "" : describe(model.error()).c_str());
            QCOMPARE((*model)->tensors.size(), std::size_t(1));
            const auto& tensor = (*model)->tensors[0];
            QCOMPARE(tensor.name, std::string("w"));
            QCOMPARE(tensor.view.shape, Shape({2, 3}));
            QCOMPARE(nameOf(tensor.view.dtype), std::string_view(type.constData()));
            QCOMPARE(tensor.bytes(), 6 * std::uint64_t(traitsOf(tensor.view.dtype).blockBytes));
            QVERIFY(isRamp(valuesOf(tensor.view), 6));
        }
    }

    void otherRanks()
    {
        const CheckpointFolder folder;
        for (const auto& [shape, count] : std::initializer_list<std::pair<const char*, std::size_t>> {
                 {"()", 1}, {"(5,)", 5}, {"(2, 3, 4)", 24}, {"(0, 3)", 0}}) {
            const auto model = openModel(folder.write("a.npy", npyFile(dictionary("<f4", shape), ramp<float>(count))));
            QVERIFY2(model, shape);
            QVERIFY(isRamp(valuesOf((*model)->tensors[0].view), count));
        }
        // Columns of columns: [2, 3, 4] with the first index fastest.
        std::string bytes;
        for (int k = 0; k < 4; ++k)
            for (int j = 0; j < 3; ++j)
                for (int i = 0; i < 2; ++i)
                    bytes += raw(float((i * 3 + j) * 4 + k));
        const auto model = openModel(folder.write("a.npy", npyFile(dictionary("<f4", "(2, 3, 4)", true), bytes)));
        QVERIFY(isRamp(valuesOf((*model)->tensors[0].view), 24));
    }

    void transposedLayersMayBeStoredByColumns()
    {
        // GPT-2's c_attn: [in = 2, out = 6], stored by columns and so already as its rows of output channels.
        const CheckpointFolder folder;
        ZipBuilder zip;
        zip.store("h.0.attn.c_attn.weight.npy", npyFile(dictionary("<f4", "(2, 6)", true), ramp<float>(12)));
        const auto model = openModel(folder.write("a.npz", zip.file()));
        QVERIFY(model);
        const auto& view = (*model)->tensors[0].view;
        QVERIFY(view.transposed);
        QCOMPARE(matrixShape(view), (MatrixShape {6, 2}));
        QVERIFY(isRamp(valuesOf((*model)->tensors[0].view), 12));
    }

    /// Whatever is measured is the same for bytes that lie there and for those that are unpacked first.
    void deflatedIsMeasuredAsStored()
    {
        std::string elements;
        for (int i = 0; i < 300 * 128; ++i)
            elements += raw(float((i * 7919) % 1009 - 504) / 777.0F);
        const auto array = npyFile(dictionary("<f4", "(300, 128)"), elements);
        ZipBuilder stored, deflated;
        stored.store("model.layers.0.mlp.up_proj.weight.npy", array);
        deflated.deflate("model.layers.0.mlp.up_proj.weight.npy", array);
        const CheckpointFolder folder;
        const auto plain = openModel(folder.write("s.npz", stored.file()));
        const auto packed = openModel(folder.write("d.npz", deflated.file()));
        QVERIFY(plain && packed);
        QVERIFY((*packed)->tensors[0].view.deferred && (*packed)->tensors[0].view.bytes.empty());
        QVERIFY(!(*packed)->fingerprint.empty());
        Progress progress;
        const ProgressShare share(progress, 0);
        const auto a = measureWeights((*plain)->tensors[0], {}, share),
                   b = measureWeights((*packed)->tensors[0], {}, share);
        QVERIFY2(a && b, b ? "" : describe(b.error()).c_str());
        QVERIFY(*a == *b);
        QVERIFY(!(*packed)->tensors[0].view.deferred->held());  // nothing stays on disk

        auto wrong = deflated;
        ++wrong.members[0].checksum;
        const auto damaged = openModel(folder.write("x.npz", wrong.file()));
        QVERIFY(damaged && (*damaged)->fingerprint != (*packed)->fingerprint);  // told by the checksum alone
        const auto refused = measureWeights((*damaged)->tensors[0], {}, share);
        QVERIFY(!refused && refused.error().code == ErrorCode::Malformed);
    }

    void archivesKeepWhatIsNoArrayAside()
    {
        ZipBuilder zip;
        zip.store("w.npy", npyFile(dictionary("<f4", "(2, 3)"), ramp<float>(6)));
        zip.store("names.npy", npyFile(dictionary("<U5", "(2,)"), std::string(40, '\0')));
        zip.store("readme.txt", "text");
        const CheckpointFolder folder;
        const auto model = openModel(folder.write("a.npz", zip.file()));
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        QCOMPARE((*model)->tensors.size(), std::size_t(1));
        QVERIFY((*model)->warnings[0].find("'names.npy', 'readme.txt'") != std::string::npos);
        zip.store("broken.npy", "\x93NUMPY");
        const auto broken = openModel(folder.write("a.npz", zip.file()));
        QVERIFY(!broken && broken.error().code == ErrorCode::Truncated);
        QVERIFY(broken.error().where.find("broken.npy") != std::string::npos);
    }

    void refuses_data()
    {
        QTest::addColumn<QByteArray>("file");
        QTest::addColumn<int>("code");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char* title, const std::string& file, ErrorCode code, const char* reason) {
            QTest::newRow(title) << QByteArray(file.data(), qsizetype(file.size())) << int(code) << QByteArray(reason);
        };
        const auto header = [&](const char* title, const std::string& text, ErrorCode code, const char* reason) {
            row(title, npyFile(text, ramp<float>(6)), code, reason);
        };
        const auto malformed = [&](const char* title, const std::string& text, const char* reason) {
            header(title, text, ErrorCode::Malformed, reason);
        };
        header("objects", dictionary("|O", "(1,)"), ErrorCode::Unsupported, "a pickle, which is never loaded");
        header("texts", dictionary("<U4", "(1,)"), ErrorCode::Unsupported, "type '<U4'");
        header("raw", dictionary("|V2", "(12,)"), ErrorCode::Unsupported, "type '|V2'");
        header("dates", dictionary("<M8[ns]", "(3,)"), ErrorCode::Unsupported, "cannot be read");
        header("long double", dictionary("<f16", "(1,)"), ErrorCode::Unsupported, "cannot be read");
        header("records", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }", ErrorCode::Unsupported,
            "records");
        header("no byte order", dictionary("f4", "(6,)"), ErrorCode::Unsupported, "type 'f4'");
        malformed("code", "__import__('os').system('true')", "not a dictionary");
        malformed("code as shape", dictionary("<f4", "(eval('6'),)"), "not a whole number");
        malformed("call after", dictionary("<f4", "(6,)") + ".keys()", "goes on");
        malformed("two dictionaries", dictionary("<f4", "(6,)") + dictionary("<f4", "(6,)"), "goes on");
        malformed("no shape", "{'descr': '<f4', 'fortran_order': False}", "lacks");
        malformed("shape twice", "{'descr': '<f4', 'shape': (6,), 'shape': (6,), 'fortran_order': False}", "twice");
        malformed("another key", "{'descr': '<f4', 'x': (6,), 'fortran_order': False}", "unknown");
        malformed("order a number", "{'descr': '<f4', 'fortran_order': 1, 'shape': (6,), }", "neither");
        malformed("shape a list", dictionary("<f4", "[6]"), "not a tuple");
        malformed("shape no tuple", dictionary("<f4", "(6)"), "not a tuple");
        malformed("negative extent", dictionary("<f4", "(-6,)"), "not a whole number");
        malformed("extent of 2^64", dictionary("<f4", "(18446744073709551616,)"), "not a whole number");
        malformed("nine extents", dictionary("<f4", "(1,1,1,1,1,1,1,1,6)"), "8 extents");
        malformed("unclosed", "{'descr': '<f4", "");
        malformed("escape", "{'des\\x63r': '<f4', 'fortran_order': False, 'shape': (6,), }", "no key");
        malformed("empty header", "", "not a dictionary");
        malformed("bytes left", dictionary("<f4", "(5,)"), "needs 20 bytes");
        header("bytes missing", dictionary("<f4", "(7,)"), ErrorCode::Truncated, "needs 28 bytes");
        header("product of 2^124", dictionary("<f4", "(4611686018427387904, 4611686018427387904)"),
            ErrorCode::Truncated, "more than 2^64");
        header("zero hides overflow", dictionary("<f4", "(0, 4611686018427387904, 4611686018427387904)"),
            ErrorCode::Truncated, "more than 2^64");
        row("version 4", npyFile(dictionary("<f4", "(6,)"), ramp<float>(6), 4), ErrorCode::Unsupported, "version 4.0");
        row("long header", npyFile(dictionary("<f4", "(6,)") + std::string(11'000, ' '), ramp<float>(6)),
            ErrorCode::Malformed, "10,000");
        row("header of 2^32 bytes", "\x93NUMPY\2" + raw('\0') + raw(~std::uint32_t {0}), ErrorCode::Malformed,
            "10,000");
    }

    void refuses()
    {
        QFETCH(const QByteArray, file);
        QFETCH(const int, code);
        QFETCH(const QByteArray, reason);
        const CheckpointFolder folder;
        ZipBuilder zip;
        zip.deflate("w.npy", file.toStdString());
        for (const auto& path : {folder.write("a.npy", file.toStdString()), folder.write("a.npz", zip.file())}) {
            const auto model = openModel(path);
            QVERIFY(!model);
            const auto said = describe(model.error());
            QVERIFY2(model.error().reason.find(reason.constData()) != std::string::npos, said.c_str());
            QVERIFY2(int(model.error().code) == code, said.c_str());
        }
    }

    void refusesTruncation()
    {
        const auto whole = npyFile(dictionary("<f4", "(2, 3)"), ramp<float>(6));
        const CheckpointFolder folder;
        for (std::size_t length = 6; length < whole.size(); ++length) {
            const auto model = openModel(folder.write("a.npy", whole.substr(0, length)));
            QVERIFY2(!model && model.error().code == ErrorCode::Truncated, qPrintable(QString::number(length)));
        }
    }
};

QTEST_APPLESS_MAIN(TestNumpy)
#include "tst_numpy.moc"
