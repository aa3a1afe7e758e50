// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/calibration/importance_matrix.h"
#include "tests/support/checkpoint_files.h"

#include <QTest>

#include <cmath>
#include <limits>
#include <random>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

std::string floats(const std::vector<float>& values)
{
    std::string bytes;
    for (const float value : values)
        bytes += raw(value);
    return bytes;
}

std::string legacyEntry(std::string_view name, std::int32_t calls, const std::vector<float>& values)
{
    return raw(static_cast<std::int32_t>(name.size())).append(name) + raw(calls)
        + raw(static_cast<std::int32_t>(values.size())) + floats(values);
}

const std::string kTrailer = raw(std::int32_t {7}) + raw(std::int32_t {8}) + "wiki.txt";

std::string legacyFile()
{
    return raw(std::int32_t {2}) + legacyEntry("blk.0.attn_q.weight", 4, {4.0F, 0.0F, 2.0F})
        + legacyEntry("output.weight", 0, {3.0F, 5.0F}) + kTrailer;
}

/// Values of each tensor after those of the one before, padded to the alignment.
std::string ggufFile(GgufBuilder builder, const std::vector<std::vector<float>>& values)
{
    auto bytes = builder.header();
    const auto pad = [&] { bytes.resize((bytes.size() + 31) / 32 * 32, '\0'); };
    for (const auto& own : values) {
        pad();
        bytes += floats(own);
    }
    pad();
    return bytes;
}

std::string texts(const std::vector<std::string>& all)
{
    std::string bytes = raw(std::uint32_t {8}) + raw(std::uint64_t {all.size()});
    for (const auto& text : all)
        bytes += ggufText(text);
    return bytes;
}

GgufBuilder keys()
{
    GgufBuilder builder;
    builder.text("general.type", "imatrix")
        .key("imatrix.datasets", 9, texts({"wiki.txt", "code.txt"}))
        .u32("imatrix.chunk_count", 12)
        .u32("imatrix.chunk_size", 512);
    return builder;
}

GgufBuilder tensors(GgufBuilder builder)
{
    builder.tensor("blk.0.ffn_up_exps.weight.in_sum2", {3, 2}, 0, 24)
        .tensor("blk.0.ffn_up_exps.weight.counts", {1, 2}, 0, 8)
        .tensor("blk.0.attn_q.weight.in_sum2", {2, 1}, 0, 8)
        .tensor("blk.0.attn_q.weight.counts", {1, 1}, 0, 4);
    return builder;
}

const std::vector<std::vector<float>> kValues {{8, 0, 4, 9, 9, 9}, {4, 0}, {6, 3}, {3}};

}  // namespace

class TestImportanceMatrix : public QObject
{
    Q_OBJECT
    CheckpointFolder m_folder;

    Result<ImportanceMatrix> read(const std::string& content)
    {
        return readImportanceMatrix(m_folder.write("m", content));
    }

private Q_SLOTS:
    void legacy()
    {
        const auto matrix = read(legacyFile());
        QVERIFY2(matrix, matrix ? "" : describe(matrix.error()).c_str());
        QVERIFY(matrix->legacy);
        QCOMPARE(matrix->entries.size(), std::size_t(2));
        QCOMPARE(matrix->entries[0].name, std::string("blk.0.attn_q.weight"));
        QCOMPARE(matrix->entries[0].columns, std::uint64_t(0));
        QCOMPARE(matrix->entries[0].means(), (std::vector<float> {1.0F, 0.0F, 0.5F}));
        QCOMPARE(matrix->entries[1].means(), (std::vector<float> {3.0F, 5.0F}));  // no calls: means already
        QVERIFY(matrix->chunks == 7U);
        QCOMPARE(matrix->datasets, std::vector<std::string> {"wiki.txt"});
        QVERIFY(!matrix->chunkSize);
    }

    void legacyCutAnywhere()
    {
        const auto whole = legacyFile();
        for (std::size_t size = 0; size < whole.size(); ++size) {
            const auto matrix = read(whole.substr(0, size));
            // The trailer came later, in two steps.
            const auto entries = whole.size() - kTrailer.size();
            const bool valid = size == entries || size == entries + 4;
            QVERIFY2(matrix.has_value() == valid, qPrintable(QString::number(size)));
        }
        QVERIFY(!read(whole + "x"));
    }

    void gguf()
    {
        const auto matrix = read(ggufFile(tensors(keys()), kValues));
        QVERIFY2(matrix, matrix ? "" : describe(matrix.error()).c_str());
        QVERIFY(!matrix->legacy);
        QCOMPARE(matrix->entries.size(), std::size_t(2));
        QCOMPARE(matrix->entries[0].columns, std::uint64_t(3));
        QCOMPARE(matrix->entries[0].means(), (std::vector<float> {2, 0, 1, 1, 1, 1}));  // the second saw nothing
        QCOMPARE(matrix->entries[1].means(), (std::vector<float> {2, 1}));
        QVERIFY(matrix->chunks == 12U && matrix->chunkSize == 512U);
        QCOMPARE(matrix->datasets, (std::vector<std::string> {"wiki.txt", "code.txt"}));
    }

    void writesWhatItReads()
    {
        const auto file = ggufFile(tensors(keys()), kValues);
        const auto matrix = read(file);
        QVERIFY(matrix);
        const auto path = m_folder.path() / "written";
        QVERIFY(writeImportanceMatrix(path, *matrix));
        std::ifstream stream(path, std::ios::binary);
        const std::string written((std::istreambuf_iterator<char>(stream)), {});
        QCOMPARE(QByteArray::fromStdString(written), QByteArray::fromStdString(file));
        const auto again = readImportanceMatrix(path);
        QVERIFY(again && *again == *matrix);
    }

    void refusesToWrite()
    {
        const auto path = m_folder.path() / "not";
        const ImportanceEntry good {"a.weight", {1, 2}, {1}, 2};
        auto entry = good;
        entry.columns = 0;
        QVERIFY(!writeImportanceMatrix(path, {{entry}}));
        entry.columns = 3;
        QVERIFY(!writeImportanceMatrix(path, {{entry}}));
        entry = good;
        entry.name = std::string(56, 'a');
        QVERIFY(!writeImportanceMatrix(path, {{entry}}));
        QVERIFY(!std::filesystem::exists(path));
        entry.name = std::string(55, 'a');
        QVERIFY(writeImportanceMatrix(path, {{entry}}));
        QVERIFY(readImportanceMatrix(path));
    }

    void badFiles_data()
    {
        QTest::addColumn<QByteArray>("content");
        QTest::addColumn<int>("code");
        QTest::addColumn<QByteArray>("reason");
        const auto row = [](const char* name, const std::string& content, ErrorCode code, const char* reason) {
            QTest::newRow(name) << QByteArray::fromStdString(content) << int(code) << QByteArray(reason);
        };
        const auto bad = ErrorCode::Malformed;
        const auto one = [](const std::string& entry) { return raw(std::int32_t {1}) + entry; };
        const float nan = std::nanf(""), infinity = std::numeric_limits<float>::infinity();
        row("empty", "", ErrorCode::NotThisFormat, "neither");
        row("text", "name,value\n1,2\n3,4\n", ErrorCode::NotThisFormat, "neither");
        row("no entries", raw(std::int32_t {0}) + kTrailer, ErrorCode::NotThisFormat, "neither");
        row("more entries than bytes", raw(std::int32_t {2}) + legacyEntry("a", 1, {1}), ErrorCode::NotThisFormat,
            "neither");
        row("negative name", one(raw(std::int32_t {-1}) + std::string(40, 'a')), bad, "length -1");
        row("long name", one(raw(std::int32_t {1 << 30}) + std::string(40, 'a')), ErrorCode::Truncated, "name");
        row("no values", one(legacyEntry("a", 1, {}) + kTrailer), bad, "length 0");
        row("NUL in a name", one(legacyEntry(std::string("a\0b", 3), 1, {1})), bad, "UTF-8");
        row("NaN", one(legacyEntry("a", 1, {1, nan})), bad, "sum of squares");
        row("negative value", one(legacyEntry("a", 1, {-1})), bad, "sum of squares");
        row("twins", raw(std::int32_t {2}) + legacyEntry("a", 1, {1}) + legacyEntry("a", 1, {1}), bad, "two entries");
        row("negative chunks", one(legacyEntry("a", 1, {1})) + raw(std::int32_t {-1}), bad, "chunks");
        row("long text", one(legacyEntry("a", 1, {1})) + raw(std::int32_t {1}) + raw(std::int32_t {9}) + "x",
            ErrorCode::Truncated, "text");

        row("a model", GgufBuilder().text("general.type", "model").file(), ErrorCode::NotThisFormat, "model");
        row("no type", GgufBuilder().u32("a", 1).file(), ErrorCode::NotThisFormat, "missing");
        row("no tensors", keys().file(), ErrorCode::NotThisFormat, "without entries");
        row("no chunk size",
            tensors(GgufBuilder()
                        .text("general.type", "imatrix")
                        .key("imatrix.datasets", 9, texts({}))
                        .u32("imatrix.chunk_count", 1))
                .file(),
            bad, "chunk_size");
        row("no datasets", tensors(GgufBuilder().text("general.type", "imatrix")).file(), bad, "datasets");
        row("no counts", keys().tensor("a.in_sum2", {4}, 0, 16).file(), bad, "beside it");
        row("counts alone", keys().tensor("a.counts", {1}, 0, 4).file(), bad, "no sums");
        row("half floats", keys().tensor("a.in_sum2", {4}, 1, 8).tensor("a.counts", {1}, 0, 4).file(), bad, "F32");
        row("other matrices", keys().tensor("a.in_sum2", {4, 2}, 0, 32).tensor("a.counts", {1, 3}, 0, 12).file(), bad,
            "different numbers");
        row("no columns", keys().tensor("a.in_sum2", {0, 2}, 0, 0).tensor("a.counts", {1, 2}, 0, 8).file(), bad,
            "different numbers");
        const auto plain = keys().tensor("a.in_sum2", {1}, 0, 4).tensor("a.counts", {1}, 0, 4);
        row("infinite sum", ggufFile(plain, {{infinity}, {1}}), bad, "sum of squares");
        row("infinite mean", ggufFile(plain, {{3e38F}, {1e-3F}}), bad, "too large");
    }

    void badFiles()
    {
        QFETCH(const QByteArray, content);
        QFETCH(const int, code);
        QFETCH(const QByteArray, reason);
        const auto matrix = read(content.toStdString());
        QVERIFY(!matrix);
        const auto text = describe(matrix.error());
        QVERIFY2(
            int(matrix.error().code) == code && text.find(reason.toStdString()) != std::string::npos, text.c_str());
    }

    // Whatever a byte becomes, the answer is an error or numbers that may serve as weights.
    void anyByteMayBeWrong()
    {
        std::mt19937 random(5);
        for (const auto& whole : {legacyFile(), ggufFile(tensors(keys()), kValues)})
            for (std::size_t at = 0; at < whole.size(); ++at)
                for (const int value : {0, 1, 0x7f, 0x80, 0xff, int(random() % 256)}) {
                    auto content = whole;
                    content[at] = static_cast<char>(value);
                    const auto matrix = read(content);
                    if (!matrix)
                        continue;
                    for (const auto& entry : matrix->entries)
                        for (const float mean : entry.means())
                            QVERIFY(std::isfinite(mean) && mean >= 0.0F);
                }
    }
};

QTEST_APPLESS_MAIN(TestImportanceMatrix)
#include "tst_importance_matrix.moc"
