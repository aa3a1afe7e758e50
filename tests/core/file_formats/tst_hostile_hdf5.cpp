// SPDX-License-Identifier: GPL-3.0-or-later
// Damaged HDF5 files, on which the library and its tools break down or never end: collected ones, and valid ones
// damaged here. Each of the first ends in an error. Opening one of the others and asking for all it holds ends soon, in
// errors or in sound tensors.
#include "tests/support/checkpoint_files.h"
#include "tests/support/hdf5_files.h"
#include "tests/support/shared_data.h"

#include <QElapsedTimer>
#include <QTest>

#include <fstream>
#include <random>
#include <sstream>

#include <sys/resource.h>

using namespace quantloupe;

namespace {

/// Whether it opened. What is given out must lie in the file or be refused when asked for.
bool openWhole(const std::filesystem::path& path)
{
    const auto model = openModel(path);
    if (!model) {
        if (model.error().reason.empty() || model.error().code == ErrorCode::Internal
            || model.error().where.find(path.filename().string()) == std::string::npos)
            qFatal("not an error about the file: %s", describe(model.error()).c_str());
        return false;
    }
    for (const auto& tensor : (*model)->tensors) {
        const auto& view = tensor.view;
        if (view.deferred) {
            const auto held = holdBytes(view, {});
            if (held && (*held)->bytes().size() != tensor.bytes())
                qFatal("%s has another size than it says", tensor.name.c_str());
            continue;
        }
        const auto whole = view.owner->bytes();
        if (tensor.offset > whole.size() || tensor.bytes() > whole.size() - tensor.offset
            || view.bytes.size() != tensor.bytes() || byteCount(view.elements(), view.dtype) != tensor.bytes())
            qFatal("%s lies outside of its file", tensor.name.c_str());
    }
    return true;
}

/// Kilobytes of the largest helper so far.
long largestHelper()
{
    rusage usage {};
    ::getrusage(RUSAGE_CHILDREN, &usage);
    return usage.ru_maxrss;
}

std::string contentsOf(const std::filesystem::path& path)
{
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

/// One of everything that is read: old and new groups, both kinds of names, attributes, packed and plain data.
void makeValid(const std::filesystem::path& path, bool latest)
{
    const tests::Hdf5Builder file(path, 0, latest);
    const std::vector<float> values(64 * 8, 0.5F);
    file.floats("model_weights/dense_1/dense_1/kernel:0", {64, 8}, values);
    file.floats("model_weights/dense_1/dense_1/bias:0", {8}, values, {.stored = H5T_IEEE_F32BE});
    file.floats("model_weights/dense_2/dense_2/kernel:0", {64, 8}, values,
        {.chunks = {10, 3}, .deflate = 6, .shuffle = true, .fletcher32 = true});
    file.texts("model_weights", "layer_names", {"dense_1", "dense_2"});
    file.texts("model_weights/dense_1", "weight_names", {"dense_1/kernel:0", "dense_1/bias:0"});
    file.texts("model_weights/dense_2", "weight_names", {"dense_2/kernel:0"});
    file.text("/", "keras_version", "2.1.5");
    file.text("/", "model_config", R"({"class_name":"Sequential","config":[]})");
}

}  // namespace

class TestHostileHdf5 : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void collectedFiles_data()
    {
        QTest::addColumn<QString>("path");
        std::error_code ignored;
        for (const auto& file : std::filesystem::directory_iterator(tests::corpus() / "hostile" / "hdf5-cve", ignored))
            QTest::newRow(file.path().filename().c_str()) << QString::fromStdString(file.path().string());
        if (QTest::currentDataTag() == nullptr)
            QTest::newRow("absent") << QString();
    }

    void collectedFiles()
    {
        QFETCH(const QString, path);
        if (path.isEmpty())
            return;
        QElapsedTimer timer;
        timer.start();
        QVERIFY2(!openWhole(path.toStdString()), "opened");
        // Two seconds of computing are granted; the rest is for a busy machine.
        QVERIFY2(timer.elapsed() < 15'000, qPrintable(QString("%1 ms").arg(timer.elapsed())));
        QVERIFY2(largestHelper() < 600'000, qPrintable(QString("%1 kB").arg(largestHelper())));
    }

    void truncatedFiles_data()
    {
        QTest::addColumn<bool>("latest");
        QTest::newRow("old") << false;
        QTest::newRow("latest") << true;
    }

    void truncatedFiles()
    {
        QFETCH(const bool, latest);
        const tests::CheckpointFolder folder;
        const auto path = folder.path() / "model.h5";
        makeValid(path, latest);
        QVERIFY(openWhole(path));
        const auto valid = contentsOf(path);
        const auto step = std::max<std::size_t>(valid.size() / 60, 1);
        for (std::size_t size = 0; size < valid.size(); size += size < 16 ? 4 : step) {
            folder.write("model.h5", std::string_view(valid).substr(0, size));
            QVERIFY2(!openWhole(path), qPrintable(QString("cut to %1 bytes").arg(size)));
        }
    }

    void flippedBits_data() { truncatedFiles_data(); }

    void flippedBits()
    {
        QFETCH(const bool, latest);
        const tests::CheckpointFolder folder;
        const auto path = folder.path() / "model.h5";
        makeValid(path, latest);
        const auto valid = contentsOf(path);
        std::mt19937 random(latest ? 7U : 8U);
        int refused = 0;
        QElapsedTimer timer;
        timer.start();
        constexpr int kRounds = 150;
        for (int round = 0; round < kRounds; ++round) {
            auto broken = valid;
            for (auto changes = 1 + random() % 3; changes > 0; --changes) {
                // Zeros are free space and data of no consequence; what is not zero means something.
                std::size_t at;
                do
                    at = random() % broken.size();
                while (broken[at] == 0 && random() % 8 != 0);
                broken[at] = static_cast<char>(random() % 2 ? broken[at] ^ (1 << random() % 8) : int(random() % 256));
            }
            folder.write("model.h5", broken);
            refused += openWhole(path) ? 0 : 1;
        }
        QVERIFY2(refused > kRounds / 10, qPrintable(QString("%1 refused").arg(refused)));
        QVERIFY(largestHelper() < 600'000);
    }

    void aBombIsNotUnpacked()
    {
        // Zeros, a thousand times smaller when packed, are accepted; what cannot have been packed is not.
        const tests::CheckpointFolder folder;
        const auto path = folder.path() / "zeros.h5";
        tests::Hdf5Builder(path).floats(
            "w", {4'000, 1'000}, std::vector<float>(4'000'000, 0.0F), {.chunks = {1'000, 1'000}, .deflate = 9});
        QVERIFY(std::filesystem::file_size(path) < 100'000);
        QVERIFY(openWhole(path));
    }
};

QTEST_APPLESS_MAIN(TestHostileHdf5)
#include "tst_hostile_hdf5.moc"
