// SPDX-License-Identifier: GPL-3.0-or-later
// Keras checkpoints from the command line: what lies in the file and what is packed give the same figures.
#include "cli_fixture.h"
#include "tests/support/hdf5_files.h"
#include "tests/support/shared_data.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/zip_files.h"

#include <QJsonArray>
#include <QTest>

#include <random>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

void makeWeights(const std::filesystem::path& path, const Hdf5Keeping& keeping)
{
    std::mt19937 random(11);
    std::normal_distribution<float> normal(0.0F, 0.02F);
    std::vector<float> values(96 * 64);
    for (auto& value : values)
        value = normal(random);
    const Hdf5Builder file(path);
    file.floats("layers/dense/vars/0", {96, 64}, values, keeping);
    file.floats("layers/dense/vars/1", {64}, values);
    file.floats("layers/conv2d/vars/0", {3, 4, 8, 64}, values, {.stored = H5T_IEEE_F32BE});
}

}  // namespace

class TestCliKeras : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void packedAndPlainFilesGiveTheSameFigures_data()
    {
        QTest::addColumn<QStringList>("command");
        QTest::newRow("inspect") << QStringList {"inspect"};
        QTest::newRow("stats") << QStringList {"stats"};
        QTest::newRow("analyze") << QStringList {"analyze", "--scheme", "int8"};
    }

    void packedAndPlainFilesGiveTheSameFigures()
    {
        QFETCH(const QStringList, command);
        const CheckpointFolder folder;
        const auto plain = folder.path() / "plain.weights.h5", packed = folder.path() / "packed.weights.h5";
        makeWeights(plain, {});
        makeWeights(packed, {.chunks = {10, 9}, .deflate = 6, .shuffle = true});
        ZipBuilder zip;
        zip.store("metadata.json", "{}");
        zip.store("model.weights.h5", readFile(QString::fromStdString(plain.string())).toStdString());
        const auto archive = folder.write("model.keras", zip.file());
        const bool analyzes = command[0] == "analyze";
        QJsonArray expected;
        for (const auto& path : {plain, packed, archive}) {
            const auto run =
                runCli(QStringList {command[0], QString::fromStdString(path.string()), "--json"} + command.mid(1));
            QVERIFY2(run.status == 0, run.errors.constData());
            const auto tensors = run.json().value(analyzes ? "results" : "tensors").toArray();
            QCOMPARE(tensors.size(), analyzes ? 2 : 3);
            QVERIFY(expected.isEmpty() || tensors == expected);
            expected = tensors;
        }
    }

    void aFileOnWhichTheLibraryBreaksDownIsInvalidInput()
    {
        const auto path = corpus() / "hostile/hdf5-cve/cve-2019-9152.h5";
        QUANTLOUPE_NEED(path);
        const auto run = runCli({"inspect", QString::fromStdString(path.string())});
        QCOMPARE(run.status, 3);
        QVERIFY(run.errors.contains("cve-2019-9152.h5"));
    }
};

QTEST_GUILESS_MAIN(TestCliKeras)
#include "tst_cli_keras.moc"
