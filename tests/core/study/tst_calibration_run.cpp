// SPDX-License-Identifier: GPL-3.0-or-later
// Calibration in a study: what is kept, read back, added to, gone on with, and refused.
#include "core/study/calibration_run.h"
#include "core/study/stored_layer_inputs.h"
#include "core/study/study_file.h"
#include "study_fixture.h"

#include <QDir>
#include <QTest>

#include <cmath>
#include <random>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

using Kind = CalibrationRun::Kind;
constexpr std::size_t kColumns = 300, kSample = 10;

std::string layer(unsigned block)
{
    return "blk." + std::to_string(block) + ".attn_q.weight";
}

/// Of one input that one or two layers read.
GatheredInput gathered(
    std::vector<LayerName> names, unsigned seed, std::uint64_t firstNumber, std::size_t tokens, bool moments = true)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> rows(tokens * kColumns);
    for (auto& value : rows)
        value = normal(random);
    const kernels::ConstMatrix matrix {rows.data(), tokens, kColumns, kColumns};
    InputFigures figures {.layers = {}, .inputs = ChannelSums::ofInputs(kColumns)};
    figures.inputs.add(matrix);
    for (auto& name : names) {
        figures.layers.push_back({std::move(name), ChannelSums::ofOutputs(2)});
        figures.layers.back().sums.add(matrix.columnRange(0, 2));
    }
    TokenSample sample(kColumns, kSample);
    for (std::size_t i = 0; i < tokens; ++i) {
        figures.tokenRanges.add(std::abs(rows[i]));
        sample.offer(firstNumber + i, rows.data() + i * kColumns);
    }
    sample.settle();
    if (tokens > 1)
        figures.earlier = {1, std::vector<double>(kColumns, 0.5), std::vector<float>(kColumns, 0.25F)};
    SecondMoments sums(kColumns);
    if (moments && tokens > 0) {
        sums.allocate();
        for (const auto& square : sums.layout().squares())
            sums.add(square, std::span(&matrix, 1));
    }
    return {std::move(figures), std::move(sums), std::move(sample)};
}

CalibrationText textOf(char letter, std::uint64_t tokens, bool moments = true)
{
    return {.name = std::string(1, letter) + ".txt",
        .identity = std::string(32, letter),
        .tokens = tokens,
        .context = 8,
        .moments = moments};
}

}  // namespace

class TestCalibrationRun : public QObject
{
    Q_OBJECT
    std::unique_ptr<QTemporaryDir> m_folder;
    std::filesystem::path study() const { return m_folder->filePath("s.h5").toStdString(); }
    QStringList files() const { return QDir(m_folder->filePath("s.h5.inputs")).entryList(QDir::Files, QDir::Name); }

    std::unique_ptr<Study> opened() const { return Study::open(study(), makeCatalog(4)).value(); }

    /// Two inputs, the first of two layers; the second from a stack of experts.
    void runOn(char letter, unsigned seed, std::uint64_t tokens) const
    {
        auto file = opened();
        auto run = CalibrationRun::begin(*file, textOf(letter, tokens), false);
        QVERIFY2(run, run ? "" : describe(run.error()).c_str());
        const auto first = run->firstNumber();
        QVERIFY(run->keep(gathered({{layer(0)}, {layer(1)}}, seed, first, tokens), kSample, {}));
        QVERIFY(run->keep(gathered({{layer(2), 3}}, seed + 1, first, tokens), kSample, {}));
        QVERIFY(run->finish());
        QVERIFY(file->close());
    }

private Q_SLOTS:
    void init() { m_folder = std::make_unique<QTemporaryDir>(); }

    void whatIsKeptIsReadBack()
    {
        runOn('a', 1, 40);
        QCOMPARE(files().size(), 2);
        const auto snapshot = Study::read(study());
        QVERIFY2(snapshot, snapshot ? "" : describe(snapshot.error()).c_str());
        const auto& calibration = (*snapshot)->calibration;
        QVERIFY(calibration.isComplete());
        QCOMPARE(calibration.tokens(), std::uint64_t(40));
        QCOMPARE(calibration.inputs().size(), std::size_t(2));
        auto expected = gathered({{layer(0)}, {layer(1)}}, 1, 0, 40);
        expected.figures.texts = 1;
        expected.figures.file = calibration.find(layer(0))->file;
        QVERIFY(*calibration.find(layer(1)) == expected.figures);
        QVERIFY(!calibration.find(layer(2)) && calibration.find(layer(2), 3));

        const StoredLayerInputs stored(*snapshot, study());
        QVERIFY(stored.has(layer(0)) && stored.has(layer(2), 3) && !stored.has(layer(3)) && !stored.has(layer(2)));
        const auto inputs = stored.load(layer(0));
        QVERIFY2(inputs, inputs ? "" : describe(inputs.error()).c_str());
        QVERIFY(checkLayerInputs(**inputs));
        QCOMPARE((*inputs)->columns, kColumns);
        QCOMPARE((*inputs)->tokens, std::uint64_t(40));
        QVERIFY((*inputs)->sample == expected.sample.rows());
        QVERIFY((*inputs)->absMax == expected.figures.inputs.absMax());
        for (std::size_t i = 0; i < kColumns; ++i) {
            QCOMPARE((*inputs)->mean[i], float(expected.figures.inputs.sum[i] / 40.0));
            QCOMPARE((*inputs)->absMean[i], float(expected.figures.inputs.absSum[i] / 40.0));
        }
        const auto whole = expected.moments.whole();
        for (std::size_t i = 0; i < whole.size(); ++i)
            QVERIFY((*inputs)->secondMoments[i] == double(float(whole[i])));
        QVERIFY(stored.load(layer(1)).value() == *inputs);  // shared while somebody holds it
        const auto missing = stored.load(layer(3));
        QVERIFY(!missing && missing.error().code == ErrorCode::InvalidArgument);
    }

    void anotherTextAddsUp()
    {
        runOn('a', 1, 40);
        runOn('b', 7, 25);
        QCOMPARE(files().size(), 2);  // those of the first text are gone
        const auto snapshot = Study::read(study()).value();
        QCOMPARE(snapshot->calibration.tokens(), std::uint64_t(65));
        QCOMPARE(snapshot->calibration.texts.size(), std::size_t(2));
        const auto one = gathered({{layer(0)}, {layer(1)}}, 1, 0, 40),
                   two = gathered({{layer(0)}, {layer(1)}}, 7, 40, 25);
        auto figures = one.figures;
        QVERIFY(addFigures(figures, two.figures));
        QVERIFY(snapshot->calibration.find(layer(0))->inputs == figures.inputs);
        QVERIFY(snapshot->calibration.find(layer(0))->earlier == figures.earlier);
        const auto inputs = StoredLayerInputs(snapshot, study()).load(layer(0)).value();
        const auto first = one.moments.whole(), second = two.moments.whole();
        for (std::size_t i = 0; i < first.size(); ++i)
            QVERIFY(std::abs(inputs->secondMoments[i] - first[i] - second[i])
                < 1e-6 * (std::abs(first[i]) + std::abs(second[i])) + 1e-6);
        TokenSample both(kColumns, kSample);
        both.offerAll(one.sample);
        both.offerAll(two.sample);
        both.settle();
        QVERIFY(inputs->sample == both.rows());
    }

    void theSameTextAddsNothing()
    {
        runOn('a', 1, 40);
        auto file = opened();
        const auto again = CalibrationRun::begin(*file, textOf('a', 40), false);
        QVERIFY(again);
        QCOMPARE(again->kind(), Kind::AlreadyThere);
        QCOMPARE(file->snapshot()->calibration.texts.size(), std::size_t(1));
        const auto fresh = CalibrationRun::begin(*file, textOf('a', 40), true);
        QVERIFY(fresh);
        QCOMPARE(fresh->kind(), Kind::First);
        QVERIFY(file->snapshot()->calibration.inputs().empty());
        QVERIFY(files().isEmpty());
    }

    void interruptedRunsGoOn()
    {
        runOn('a', 1, 40);
        {
            auto file = opened();
            auto run = CalibrationRun::begin(*file, textOf('b', 25), false);
            QCOMPARE(run->kind(), Kind::Added);
            QVERIFY(run->known().empty());
            QVERIFY(run->keep(gathered({{layer(0)}, {layer(1)}}, 7, 40, 25), kSample, {}));
        }
        // What a killed run leaves: a file that no study names yet, and half a one.
        for (const auto* name : {"00-2.input", "00-2.input.tmp-1-2"})
            QVERIFY(QFile(m_folder->filePath(QString("s.h5.inputs/") + name)).open(QIODevice::WriteOnly));
        {
            auto file = opened();
            const auto other = CalibrationRun::begin(*file, textOf('c', 30), false);
            QVERIFY(!other && other.error().code == ErrorCode::Conflict);
            QVERIFY(other.error().reason.find("b.txt") != std::string::npos);
            auto run = CalibrationRun::begin(*file, textOf('b', 25), false);
            QCOMPARE(run->kind(), Kind::Continued);
            QCOMPARE(run->firstNumber(), std::uint64_t(40));
            QCOMPARE(run->known(), std::set<std::string> {layer(0)});
            QCOMPARE(files().size(), 2);
            QVERIFY(run->keep(gathered({{layer(2), 3}}, 8, 40, 25), kSample, {}));
            QVERIFY(run->finish());
        }
        const auto resumed = Study::read(study()).value()->calibration;
        QVERIFY(resumed.isComplete());
        m_folder = std::make_unique<QTemporaryDir>();
        runOn('a', 1, 40);
        runOn('b', 7, 25);
        const auto whole = Study::read(study()).value()->calibration;
        QVERIFY(resumed.texts == whole.texts);
        for (const auto& [name, figures] : whole.layers)
            QVERIFY(*resumed.find(name.tensor, name.expert) == *figures);  // the files' checksums too
    }

    void runsThatLeftNothingAreForgotten()
    {
        auto file = opened();
        QVERIFY(CalibrationRun::begin(*file, textOf('a', 40), false));
        const auto other = CalibrationRun::begin(*file, textOf('b', 25), false);
        QVERIFY(other);
        QCOMPARE(other->kind(), Kind::First);
        QCOMPARE(file->snapshot()->calibration.texts.size(), std::size_t(1));
        QCOMPARE(file->snapshot()->calibration.texts[0].name, std::string("b.txt"));
    }

    void inputsWithoutTokensOrMoments()
    {
        auto file = opened();
        auto run = CalibrationRun::begin(*file, textOf('a', 40, false), false);
        QVERIFY(run->keep(gathered({{layer(0)}}, 1, 0, 40, false), kSample, {}));
        QVERIFY(run->keep(gathered({{layer(1)}}, 1, 0, 0), kSample, {}));
        QVERIFY(run->finish());
        QVERIFY(file->close());
        const auto snapshot = Study::read(study()).value();
        const StoredLayerInputs stored(snapshot, study());
        QVERIFY(!stored.has(layer(1)) && snapshot->calibration.find(layer(1)));
        const auto inputs = stored.load(layer(0)).value();
        QVERIFY(inputs->secondMoments.empty() && inputs->sampleTokens() == kSample);
        auto again = opened();
        const auto with = CalibrationRun::begin(*again, textOf('b', 10, true), false);
        QVERIFY(!with && with.error().code == ErrorCode::Conflict);
        const auto without = CalibrationRun::begin(*again, textOf('b', 10, false), false);
        QVERIFY(without);
        // An expert that the first text never reached takes what the second brings.
        auto more = *without;
        QVERIFY(more.keep(gathered({{layer(1)}}, 2, 40, 10, false), kSample, {}));
        QCOMPARE(again->snapshot()->calibration.find(layer(1))->inputs.tokens, std::uint64_t(10));
    }

    void damage_data()
    {
        QTest::addColumn<QByteArray>("what");
        QTest::addColumn<int>("code");
        QTest::newRow("folder missing") << QByteArray("folder") << int(ErrorCode::CannotOpen);
        QTest::newRow("file missing") << QByteArray("file") << int(ErrorCode::CannotOpen);
        QTest::newRow("file cut") << QByteArray("cut") << int(ErrorCode::Truncated);
        QTest::newRow("bit flipped") << QByteArray("flip") << int(ErrorCode::Malformed);
        QTest::newRow("another study's") << QByteArray("stale") << int(ErrorCode::Conflict);
    }

    void damage()
    {
        QFETCH(const QByteArray, what);
        QFETCH(const int, code);
        runOn('a', 1, 40);
        const auto name = QString::fromStdString(Study::read(study()).value()->calibration.find(layer(0))->file.name);
        const auto path = m_folder->filePath("s.h5.inputs/" + name);
        if (what == "folder")
            QVERIFY(QDir(m_folder->filePath("s.h5.inputs")).removeRecursively());
        if (what == "file")
            QVERIFY(QFile::remove(path));
        QFile file(path);
        if (what == "cut")
            QVERIFY(file.resize(file.size() / 2));
        if (what == "flip")
            QVERIFY(file.open(QIODevice::ReadWrite) && file.seek(3000) && file.write("!") == 1);
        if (what == "stale") {
            const auto first = std::move(m_folder);
            m_folder = std::make_unique<QTemporaryDir>();
            runOn('a', 2, 40);
            QVERIFY(QFile::remove(path));
            QVERIFY(QFile::copy(m_folder->filePath("s.h5.inputs/" + name), path));
            m_folder = std::make_unique<QTemporaryDir>();
            QVERIFY(QFile::copy(first->filePath("s.h5"), m_folder->filePath("s.h5")));
            QVERIFY(QDir().mkdir(m_folder->filePath("s.h5.inputs")));
            QVERIFY(QFile::copy(path, m_folder->filePath("s.h5.inputs/" + name)));
        }
        file.close();
        const auto inputs = StoredLayerInputs(Study::read(study()).value(), study()).load(layer(1));
        QVERIFY(!inputs);
        QCOMPARE(int(inputs.error().code), code);
        QVERIFY2(inputs.error().where.find("s.h5.inputs") != std::string::npos, describe(inputs.error()).c_str());
        // Another text cannot be added to what is broken.
        auto again = opened();
        auto run = CalibrationRun::begin(*again, textOf('b', 25), false);
        QVERIFY(run && !run->keep(gathered({{layer(0)}, {layer(1)}}, 7, 40, 25), kSample, {}));
    }

    void studiesWithoutCalibration()
    {
        QVERIFY(opened()->close());
        const auto snapshot = Study::read(study()).value();
        QVERIFY(snapshot->calibration.texts.empty() && !snapshot->calibration.isComplete());
        QVERIFY(!StoredLayerInputs(snapshot, study()).has(layer(0)));
        auto file = opened();
        auto figures = gathered({{"of another model"}}, 1, 0, 3).figures;
        QVERIFY(!file->append(figures));
        figures.layers.clear();
        QVERIFY(!file->append(figures));
    }
};

QTEST_APPLESS_MAIN(TestCalibrationRun)
#include "tst_calibration_run.moc"
