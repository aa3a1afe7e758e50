// SPDX-License-Identifier: GPL-3.0-or-later
// The mergeable parts of a calibration, the file of the large ones, and what is judged by them.
#include "core/calibration/calibrated_importance.h"
#include "core/calibration/input_file.h"
#include "core/calibration/input_quality.h"

#include <QFile>
#include <QTemporaryDir>
#include <QTest>

#include <algorithm>
#include <cmath>
#include <random>

using namespace quantloupe;

namespace {

std::vector<float> randomRows(std::size_t rows, std::size_t columns, unsigned seed)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(rows * columns);
    for (auto& value : values)
        value = normal(random);
    return values;
}

kernels::ConstMatrix matrixOf(const std::vector<float>& values, std::size_t columns)
{
    return {values.data(), values.size() / columns, columns, columns};
}

SecondMoments momentsOf(const std::vector<float>& rows, std::size_t columns)
{
    SecondMoments moments(columns);
    moments.allocate();
    const auto piece = matrixOf(rows, columns);
    for (const auto& square : moments.layout().squares())
        moments.add(square, std::span(&piece, 1));
    return moments;
}

InputFigures figuresOf(const std::vector<float>& rows, std::size_t columns)
{
    InputFigures figures {
        .layers = {{{"w", std::nullopt}, ChannelSums::ofOutputs(2)}}, .inputs = ChannelSums::ofInputs(columns)};
    figures.inputs.add(matrixOf(rows, columns));
    for (std::size_t i = 0; i < rows.size(); ++i)
        figures.tokenRanges.add(std::abs(rows[i]));
    return figures;
}

}  // namespace

class TestCalibrationParts : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void channelSums()
    {
        auto sums = ChannelSums::ofInputs(3);
        QCOMPARE(sums.absMaxOfAll(), 0.0F);
        const std::vector<float> rows {1.0F, -254.0F, 0.9F, 3.0F, 2.0F, -1.0F};
        sums.add(matrixOf(rows, 3));
        QCOMPARE(sums.tokens, std::uint64_t(2));
        QCOMPARE(sums.sum, std::vector<double>({4.0, -252.0, double(0.9F) - 1.0}));
        QCOMPARE(sums.squares[1], 254.0 * 254.0 + 4.0);
        QCOMPARE(sums.absMax(), std::vector<float>({3.0F, 254.0F, 1.0F}));
        QCOMPARE(sums.minimum, std::vector<float>({1.0F, -254.0F, -1.0F}));
        // Half a step of the first token is 1: what is not above it becomes 0 in int8.
        QCOMPARE(sums.active, std::vector<std::uint64_t>({1, 2, 1}));
        auto one = ChannelSums::ofInputs(3), two = one;
        one.add(matrixOf(rows, 3).rowRange(0, 1));
        two.add(matrixOf(rows, 3).rowRange(1, 1));
        QVERIFY((one += two) == sums);
        QVERIFY((one += ChannelSums::ofInputs(3)) == sums);
        auto outputs = ChannelSums::ofOutputs(3);
        outputs.add(matrixOf(rows, 3));
        QCOMPARE(outputs.maximum, sums.maximum);
        QVERIFY(outputs.absSum.empty() && outputs.active.empty());
    }

    void tokenRanges()
    {
        TokenRanges all, one, two;
        std::vector<float> sizes;
        std::mt19937 random(3);
        std::lognormal_distribution<float> size(0.0F, 2.0F);
        for (int i = 0; i < 10'000; ++i) {
            sizes.push_back(i % 100 == 0 ? 0.0F : size(random));
            all.add(sizes.back());
            (i % 3 == 0 ? one : two).add(sizes.back());
        }
        one += two;
        QVERIFY(one == all);
        QCOMPARE(all.tokens(), std::uint64_t(10'000));
        QCOMPARE(all.zeros, std::uint64_t(100));
        QVERIFY(all.counts.front() > 0 && all.counts.back() > 0);
        std::sort(sizes.begin(), sizes.end());
        for (const double q : {0.02, 0.1, 0.5, 0.9, 0.99, 0.999}) {
            const double exact = sizes[std::size_t(q * 10'000.0) - 1];
            QVERIFY2(std::abs(all.quantile(q) / exact - 1.0) < 0.02, qPrintable(QString::number(q)));
        }
        QCOMPARE(all.quantile(0.005), 0.0);
        QCOMPARE(TokenRanges().quantile(0.5), 0.0);
    }

    void moments_data()
    {
        QTest::addColumn<std::size_t>("columns");
        for (const std::size_t columns : {1U, 7U, 64U, 255U, 256U, 257U, 600U})
            QTest::addRow("%zu", columns) << columns;
    }

    void moments()
    {
        QFETCH(const std::size_t, columns);
        const MomentLayout layout(columns);
        QCOMPARE(std::uint64_t(layout.size()), MomentLayout::sizeFor(columns));
        const auto rows = randomRows(50, columns, 1), more = randomRows(33, columns, 2);
        std::vector<double> expected(columns * columns);
        for (const auto* part : {&rows, &more})
            for (std::size_t t = 0; t < part->size() / columns; ++t)
                for (std::size_t i = 0; i < columns; ++i)
                    for (std::size_t j = 0; j < columns; ++j)
                        expected[i * columns + j] +=
                            double((*part)[t * columns + i]) * double((*part)[t * columns + j]);
        auto sum = momentsOf(rows, columns);
        const auto second = momentsOf(more, columns);
        const std::vector<float> stored(second.values().begin(), second.values().end());
        sum.add(stored);
        const auto whole = sum.whole();
        QCOMPARE(whole.size(), expected.size());
        for (std::size_t i = 0; i < whole.size(); ++i)
            QVERIFY(std::abs(whole[i] - expected[i]) < 1e-4);
        for (std::size_t i = 0; i < columns; ++i)
            for (std::size_t j = 0; j < i; ++j)
                QVERIFY(whole[i * columns + j] == whole[j * columns + i]);
    }

    void samplesDoNotDependOnTheOrder()
    {
        constexpr std::size_t columns = 3, tokens = 1'000, limit = 40;
        const auto rows = randomRows(tokens, columns, 1);
        TokenSample all(columns, limit), first(columns, limit), second(columns, limit);
        for (std::size_t i = 0; i < tokens; ++i) {
            const auto token = tokens - 1 - i;
            all.offer(token, rows.data() + token * columns);
            (i % 7 < 3 ? first : second).offer(i, rows.data() + i * columns);
        }
        all.settle();
        first.settle();
        second.settle();
        first.offerAll(second);
        first.settle();
        QCOMPARE(all.numbers().size(), limit);
        QVERIFY(std::ranges::is_sorted(all.numbers()));
        QVERIFY(first.numbers() == all.numbers() && first.rows() == all.rows());
        for (std::size_t i = 0; i < limit; ++i)
            QCOMPARE(all.rows()[i * columns + 1], rows[all.numbers()[i] * columns + 1]);
        // Evenly: each fifth of the tokens has some, none has most.
        for (std::uint64_t fifth = 0; fifth < 5; ++fifth) {
            const auto count = std::ranges::count_if(all.numbers(), [&](auto i) { return i / 200 == fifth; });
            QVERIFY(count >= 2 && count <= 20);
        }
        TokenSample none(columns, 0);
        none.offer(1, rows.data());
        none.settle();
        QVERIFY(none.numbers().empty());
    }

    void figuresAddUp()
    {
        const auto rows = randomRows(100, 5, 1), more = randomRows(60, 5, 2);
        auto sum = figuresOf(rows, 5);
        QVERIFY(isWhole(sum));
        const auto first = sum;
        QVERIFY(addFigures(sum, figuresOf(more, 5)));
        QCOMPARE(sum.inputs.tokens, std::uint64_t(160));
        QCOMPARE(sum.tokenRanges.tokens(), std::uint64_t(800));
        QCOMPARE(sum.earlier.tokens, std::uint64_t(100));
        QVERIFY(sum.earlier.squares == first.inputs.squares && sum.earlier.absMax == first.inputs.absMax());
        QVERIFY(isWhole(sum));
        const auto quality = qualityOf(sum);
        double moved = 0.0, all = 0.0;
        for (std::size_t i = 0; i < 5; ++i) {
            moved += std::abs(first.inputs.squares[i] / 100.0 - sum.inputs.squares[i] / 160.0);
            all += sum.inputs.squares[i] / 160.0;
        }
        QVERIFY(std::abs(quality.squaresMoved - moved / all) < 1e-12);
        QVERIFY(quality.absMaxMoved >= 0.0 && quality.absMaxMoved < 1.0);
        QVERIFY(std::isnan(qualityOf(first).squaresMoved));
        const auto before = sum;
        QVERIFY(!addFigures(sum, figuresOf(more, 6)));
        auto other = figuresOf(more, 5);
        other.layers[0].layer.tensor = "v";
        QVERIFY(!addFigures(sum, other));
        QVERIFY(sum == before);
    }

    void coverage()
    {
        // Of 300 tokens: channel 0 always, 1 never, 2 twice, 3 four times.
        std::vector<float> rows(300 * 4);
        for (std::size_t t = 0; t < 300; ++t) {
            rows[t * 4] = 1.0F;
            rows[t * 4 + 1] = 0.001F;
            rows[t * 4 + 2] = t < 2 ? 0.5F : 0.0F;
            rows[t * 4 + 3] = t < 4 ? -0.5F : 0.0F;
        }
        auto quality = qualityOf(figuresOf(rows, 4));
        QCOMPARE(quality.silentChannels, std::vector<std::size_t> {1});
        QCOMPARE(quality.rareChannels, std::vector<std::size_t> {2});
        QVERIFY(!quality.fewTokens);
        rows.resize(3 * 4);
        QVERIFY(qualityOf(figuresOf(rows, 4)).fewTokens);
    }

    void fileRoundTrip()
    {
        const QTemporaryDir folder;
        const auto rows = randomRows(20, 300, 1);
        const auto moments = momentsOf(rows, 300);
        TokenSample sample(300, 7);
        for (std::size_t i = 0; i < 20; ++i)
            sample.offer(i, rows.data() + i * 300);
        sample.settle();
        const std::filesystem::path path(folder.path().toStdString());
        const auto reference = writeInputFile(path, "0a-1.input", 20, moments, sample, {});
        QVERIFY2(reference, reference ? "" : describe(reference.error()).c_str());
        QCOMPARE(std::uint64_t(QFile(folder.filePath("0a-1.input")).size()), reference->bytes);
        const auto file = InputFile::open(path, *reference);
        QVERIFY2(file, file ? "" : describe(file.error()).c_str());
        QCOMPARE(file->columns(), std::uint64_t(300));
        QCOMPARE(file->tokens(), std::uint64_t(20));
        QVERIFY(std::ranges::equal(file->sampleNumbers(), sample.numbers()));
        QVERIFY(std::ranges::equal(file->sample(), sample.rows()));
        QVERIFY(std::ranges::equal(file->moments(), moments.values(), [](float a, double b) { return a == float(b); }));
        QVERIFY(wholeMoments(moments.layout(), file->moments()).size() == 90'000);

        const auto bare = writeInputFile(path, "0b-1.input", 20, SecondMoments(300), TokenSample(300, 0), {});
        QVERIFY(bare && InputFile::open(path, *bare)->moments().empty());
        SecondMoments huge(1);
        huge.add(std::vector<float> {3e38F});
        huge.add(std::vector<float> {3e38F});
        const auto overflow = writeInputFile(path, "0c-1.input", 1, huge, TokenSample(1, 0), {});
        QVERIFY(!overflow && overflow.error().code == ErrorCode::Malformed);
        QVERIFY(!QFile::exists(folder.filePath("0c-1.input")));
        std::stop_source stop;
        stop.request_stop();
        const auto stopped = writeInputFile(path, "0d-1.input", 20, moments, sample, stop.get_token());
        QVERIFY(!stopped && stopped.error().code == ErrorCode::Cancelled);
        QVERIFY(writeInputFile(path / "none", "0a", 20, moments, sample, {}).error().code == ErrorCode::CannotWrite);
    }

    void fileDamage_data()
    {
        QTest::addColumn<int>("byte");
        QTest::addColumn<int>("cut");
        QTest::addColumn<QByteArray>("name");
        QTest::addColumn<int>("code");
        QTest::newRow("header") << 9 << 0 << QByteArray("0a-1.input") << int(ErrorCode::Malformed);
        QTest::newRow("content") << 500 << 0 << QByteArray("0a-1.input") << int(ErrorCode::Malformed);
        QTest::newRow("cut") << -1 << 10 << QByteArray("0a-1.input") << int(ErrorCode::Truncated);
        QTest::newRow("cut short") << -1 << 1'000'000 << QByteArray("0a-1.input") << int(ErrorCode::Truncated);
        QTest::newRow("missing") << -1 << 0 << QByteArray("0b-1.input") << int(ErrorCode::CannotOpen);
        QTest::newRow("elsewhere") << -1 << 0 << QByteArray("../0a-1.input") << int(ErrorCode::Malformed);
        QTest::newRow("no name") << -1 << 0 << QByteArray() << int(ErrorCode::Malformed);
        QTest::newRow("another") << -2 << 0 << QByteArray("0a-1.input") << int(ErrorCode::Conflict);
    }

    void fileDamage()
    {
        QFETCH(const int, byte);
        QFETCH(const int, cut);
        QFETCH(const QByteArray, name);
        QFETCH(const int, code);
        const QTemporaryDir folder;
        const std::filesystem::path path(folder.path().toStdString());
        const auto rows = randomRows(20, 30, 1), others = randomRows(20, 30, 2);
        auto reference = writeInputFile(path, "0a-1.input", 20, momentsOf(rows, 30), TokenSample(30, 0), {}).value();
        if (byte == -2)
            QVERIFY(writeInputFile(path, "0a-1.input", 20, momentsOf(others, 30), TokenSample(30, 0), {}));
        QFile file(folder.filePath("0a-1.input"));
        QVERIFY(file.open(QIODevice::ReadWrite));
        if (byte >= 0) {
            file.seek(byte);
            char value = 0;
            file.getChar(&value);
            file.seek(byte);
            file.putChar(char(value ^ 1));
        }
        if (cut > 0)
            file.resize(std::max<qint64>(0, file.size() - cut));
        file.close();
        reference.name = name.toStdString();
        const auto opened = InputFile::open(path, reference);
        QVERIFY(!opened);
        QCOMPARE(int(opened.error().code), code);
        QVERIFY(opened.error().where.find(path.string()) != std::string::npos);
    }

    void importance()
    {
        Model model;
        model.config.architecture = "mixtral";
        ModelCalibration calibration {
            .texts = {{.name = "t", .identity = {}, .tokens = 1024, .context = 512, .complete = true}}};
        const auto add = [&](const std::string& name, std::optional<std::uint32_t> expert, unsigned seed) {
            if (!model.find(name))
                model.tensors.push_back({.name = name, .view = {}, .parts = readName(name)});
            auto figures = figuresOf(randomRows(10 * seed, 4, seed), 4);
            figures.layers[0].layer = {name, expert};
            calibration.set(std::make_shared<const InputFigures>(figures));
            return figures.inputs;
        };
        const std::string expert("model.layers.0.block_sparse_moe.experts.");
        const auto query = add("model.layers.0.self_attn.q_proj.weight", std::nullopt, 1);
        const auto second = add(expert + "1.w2.weight", std::nullopt, 2);
        const auto first = add(expert + "0.w2.weight", std::nullopt, 3);
        add("lm_head.weight", std::nullopt, 4);
        const auto up = add("blk.1.ffn_up_exps.weight", 1, 5);
        add("blk.1.ffn_up_exps.weight", 0, 6);
        const auto matrix = importanceOf(calibration, model);
        QCOMPARE(matrix.datasets, std::vector<std::string> {"t"});
        QCOMPARE(matrix.chunks, std::optional<std::uint64_t>(2));
        QCOMPARE(matrix.chunkSize, std::optional<std::uint64_t>(512));
        QCOMPARE(matrix.entries.size(), std::size_t(3));
        QCOMPARE(matrix.entries[0].name, std::string("blk.0.attn_q.weight"));
        QCOMPARE(matrix.entries[0].squares[3], float(query.squares[3]));
        QCOMPARE(matrix.entries[1].name, std::string("blk.0.ffn_down_exps.weight"));
        QCOMPARE(matrix.entries[1].counts, std::vector<float>({30.0F, 20.0F}));
        QCOMPARE(matrix.entries[1].columns, std::uint64_t(4));
        QCOMPARE(matrix.entries[1].squares[2], float(first.squares[2]));
        QCOMPARE(matrix.entries[1].squares[6], float(second.squares[2]));
        QCOMPARE(matrix.entries[2].counts, std::vector<float>({60.0F, 50.0F}));
        QCOMPARE(matrix.entries[2].squares[5], float(up.squares[1]));
    }
};

QTEST_APPLESS_MAIN(TestCalibrationParts)
#include "tst_calibration_parts.moc"
