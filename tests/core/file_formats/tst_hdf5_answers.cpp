// SPDX-License-Identifier: GPL-3.0-or-later
// The helper is not believed: a script in its place answers what a helper that an HDF5 file has taken over might.
#include "core/file_formats/hdf5_records.h"
#include "tests/support/checkpoint_files.h"

#include <QTest>

#include <optional>
#include <random>

using namespace quantloupe;
using tests::raw;

namespace {

constexpr std::size_t kFileSize = 4'096;

std::string record(Hdf5Record kind, const std::string& bytes)
{
    return raw(static_cast<std::uint32_t>(kind)) + raw(static_cast<std::uint32_t>(bytes.size())) + bytes;
}

std::string text(const std::string& bytes)
{
    return raw(std::uint64_t {bytes.size()}) + bytes;
}

std::string dataset(const std::string& path, DType dtype, std::uint8_t storage, std::uint64_t offset,
    const std::vector<std::uint64_t>& shape, const std::vector<std::uint64_t>& stored = {})
{
    auto bytes = text(path) + raw(static_cast<std::uint8_t>(dtype)) + raw(storage) + raw(offset)
        + raw(std::uint64_t {shape.size()});
    for (const auto extent : shape)
        bytes += raw(extent);
    bytes += raw(std::uint64_t {stored.size() / 2});
    for (const auto number : stored)
        bytes += raw(number);
    return record(Hdf5Record::Dataset, bytes);
}

std::string attribute(const std::string& object, const std::string& name, const std::vector<std::string>& texts)
{
    auto bytes = text(object) + text(name) + raw(std::uint64_t {texts.size()});
    for (const auto& one : texts)
        bytes += text(one);
    return record(Hdf5Record::Attribute, bytes);
}

const std::string kEnd = record(Hdf5Record::End, {});
const std::string kGood = dataset("w", DType::F32, 0, 1'024, {16, 4});

std::string failed(std::uint8_t code, const std::string& reason)
{
    return record(Hdf5Record::Failed, raw(code) + text(reason));
}

}  // namespace

class TestHdf5Answers : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void init()
    {
        m_folder.emplace();
        const auto program = m_folder->write("quantloupe-read-hdf5",
            "#!/bin/sh\ncase $1 in list) exec /bin/cat \"${0%/*}/list\" ;; *) exec /bin/cat \"${0%/*}/elements\" ;; "
            "esac\n");
        std::filesystem::permissions(program, std::filesystem::perms::owner_all);
        m_model = m_folder->write("model.h5", std::string("\x89HDF\r\n\x1a\n") + std::string(kFileSize - 8, 'x'));
        qputenv("QUANTLOUPE_HELPERS", m_folder->path().c_str());
    }
    void cleanup() { qunsetenv("QUANTLOUPE_HELPERS"); }

    void nonsenseIsAnError_data()
    {
        QTest::addColumn<QByteArray>("answer");
        QTest::addColumn<QString>("reason");
        const auto row = [](const char* name, const std::string& answer, const char* reason) {
            QTest::newRow(name) << QByteArray(answer.data(), qsizetype(answer.size())) << reason;
        };
        row("nothing", "", "without an answer");
        row("no end", kGood, "without an answer");
        row("unknown record", record(Hdf5Record(99), "x") + kEnd, "makes no sense");
        row("elements in a list", record(Hdf5Record::Elements, "x") + kEnd, "makes no sense");
        row("too long a record", raw(1U) + raw(0xFFFFFFF0U), "more than it may");
        row("cut dataset", record(Hdf5Record::Dataset, text("w").substr(0, 7)) + kEnd, "makes no sense");
        row("name longer than the record", record(Hdf5Record::Dataset, raw(~std::uint64_t {0})) + kEnd,
            "makes no sense");
        row("unknown type", dataset("w", DType(200), 0, 0, {1}) + kEnd, "makes no sense");
        row("block type", dataset("w", DType::Q4_0, 0, 0, {32}) + kEnd, "makes no sense");
        row("unknown storage", dataset("w", DType::F32, 2, 0, {1}) + kEnd, "makes no sense");
        row("nine dimensions", dataset("w", DType::F32, 0, 0, std::vector<std::uint64_t>(9, 1)) + kEnd,
            "makes no sense");
        row("no name", dataset("", DType::F32, 0, 0, {1}) + kEnd, "not UTF-8");
        row("name with a zero", dataset(std::string("a\0b", 3), DType::F32, 0, 0, {1}) + kEnd, "not UTF-8");
        row("name not UTF-8", dataset("\xFF", DType::F32, 0, 0, {1}) + kEnd, "not UTF-8");
        row("occurs twice", kGood + kGood + kEnd, "occurs twice");
        row("overflowing shape", dataset("w", DType::F32, 0, 0, {1ULL << 40, 1ULL << 40}) + kEnd, "be counted");
        row("overflowing bytes", dataset("w", DType::F64, 0, 0, {1ULL << 62}) + kEnd, "be counted");
        row("past the end", dataset("w", DType::F32, 0, kFileSize - 3, {1}) + kEnd, "past the end");
        row("far past the end", dataset("w", DType::F32, 0, ~std::uint64_t {0}, {1}) + kEnd, "past the end");
        row("longer than the file", dataset("w", DType::F32, 0, 0, {2'000}) + kEnd, "past the end");
        row("too many pieces", dataset("w", DType::F32, 1, 0, {1}, std::vector<std::uint64_t>(66, 0)) + kEnd,
            "makes no sense");
        row("packed bomb", dataset("w", DType::F32, 1, 0, {1ULL << 40}) + kEnd, "unpacks to more");
        row("attribute of too many texts",
            record(Hdf5Record::Attribute, text("") + text("layer_names") + raw(1ULL << 60)) + kEnd, "makes no sense");
        row("failure without a reason", record(Hdf5Record::Failed, ""), "its reader failed");
        row("refused", failed(0, "because"), "because");
    }

    void nonsenseIsAnError()
    {
        QFETCH(const QByteArray, answer);
        QFETCH(const QString, reason);
        m_folder->write("list", answer.toStdString());
        const auto model = openModel(m_model);
        QVERIFY(!model);
        QCOMPARE(model.error().where, m_model.string());
        QVERIFY2(model.error().reason.find(reason.toStdString()) != std::string::npos, model.error().reason.c_str());
        QVERIFY(model.error().code == ErrorCode::Malformed || model.error().code == ErrorCode::Truncated);
    }

    void reasonsAreCleaned()
    {
        m_folder->write("list", failed(5, "\x1b[2J\xFF" + std::string(10'000, 'a')));
        const auto model = openModel(m_model);
        QVERIFY(!model);
        QVERIFY(model.error().reason.size() < 500);
        QVERIFY(describe(model.error()).find('\x1b') == std::string::npos);
    }

    void wrongElementsAreErrors_data()
    {
        QTest::addColumn<QByteArray>("answer");
        QTest::addColumn<QString>("reason");
        const auto row = [](const char* name, const std::string& answer, const char* reason) {
            QTest::newRow(name) << QByteArray(answer.data(), qsizetype(answer.size())) << reason;
        };
        const auto elements = [](std::size_t count) { return record(Hdf5Record::Elements, std::string(count, 'e')); };
        row("all", elements(100) + elements(156) + kEnd, "");
        row("too few", elements(100) + kEnd, "156 bytes less");
        row("too many", elements(100) + elements(157) + kEnd, "more than its size");
        row("no end", elements(256), "without an answer");
        row("something else", elements(256) + kGood + kEnd, "makes no sense");
        row("fails half-way", elements(100) + failed(4, "a checksum does not match"), "a checksum does not match");
    }

    void wrongElementsAreErrors()
    {
        QFETCH(const QByteArray, answer);
        QFETCH(const QString, reason);
        m_folder->write("list", dataset("w", DType::F32, 1, kHdf5Nowhere, {16, 4}) + kEnd);
        m_folder->write("elements", answer.toStdString());
        const auto model = openModel(m_model);
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto held = holdBytes((*model)->tensors.at(0).view, {});
        QCOMPARE(held.has_value(), reason.isEmpty());
        if (!held)
            QVERIFY2(held.error().reason.find(reason.toStdString()) != std::string::npos, held.error().reason.c_str());
    }

    void mutatedAnswersEndInModelsOrErrors()
    {
        const auto valid = attribute("", "layer_names", {"a", "b"}) + attribute("a", "weight_names", {"k", "l"})
            + attribute("b", "weight_names", {}) + dataset("a/k", DType::F32, 0, 1'024, {16, 4})
            + dataset("a/l", DType::BF16, 1, 64, {3, 3, 2, 8}) + kEnd;
        m_folder->write("list", valid);
        QVERIFY(openModel(m_model).has_value());
        std::mt19937 random(5);
        int refused = 0;
        for (int round = 0; round < 300; ++round) {
            auto broken = valid;
            for (auto changes = 1 + random() % 3; changes > 0; --changes)
                broken[random() % broken.size()] = static_cast<char>(random() % 4 == 0 ? 255U : random() % 10);
            m_folder->write("list", broken);
            const auto model = openModel(m_model);
            if (!model) {
                ++refused;
                continue;
            }
            for (const auto& tensor : (*model)->tensors) {
                QVERIFY(tensor.offset <= kFileSize && tensor.view.bytes.size() <= kFileSize - tensor.offset);
                QVERIFY(byteCount(tensor.view.elements(), tensor.view.dtype) == tensor.bytes());
            }
        }
        QVERIFY2(refused > 150, qPrintable(QString::number(refused)));
    }

private:
    std::optional<tests::CheckpointFolder> m_folder;
    std::filesystem::path m_model;
};

QTEST_APPLESS_MAIN(TestHdf5Answers)
#include "tst_hdf5_answers.moc"
