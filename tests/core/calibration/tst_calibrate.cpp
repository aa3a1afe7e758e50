// SPDX-License-Identifier: GPL-3.0-or-later
// What calibration gathers: against the golden set, against a second way of summing, and its promises.
#include "core/file_formats/file_format.h"
#include "tests/core/inference/tiny_families.h"
#include "tests/support/calibration_runs.h"
#include "tests/support/golden_tokens.h"
#include "tests/support/npy_file.h"

#include <QTest>

#include <algorithm>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

/// Largest difference, relative to the largest expected size.
double difference(const std::vector<double>& values, const std::vector<double>& expected)
{
    if (values.size() != expected.size())
        return 1e30;
    double worst = 0.0, size = 1e-30;
    for (std::size_t i = 0; i < values.size(); ++i) {
        const double off = std::abs(values[i] - expected[i]);
        worst = off <= worst ? worst : off;  // NaN counts
        size = std::max(size, std::abs(expected[i]));
    }
    return worst / size;
}

template<class Number>
std::vector<double> wide(const std::vector<Number>& values, double scale = 1.0)
{
    std::vector<double> result(values.begin(), values.end());
    for (auto& value : result)
        value *= scale;
    return result;
}

bool same(const GatheredInputs& a, const GatheredInputs& b)
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& x, const auto& y) {
        const auto& [key, one] = x;
        const auto& other = y.second;
        return key == y.first && one.figures == other.figures && one.sample.numbers() == other.sample.numbers()
            && one.sample.rows() == other.sample.rows()
            && std::ranges::equal(one.moments.values(), other.moments.values());
    });
}

struct Naive {
    std::vector<double> sum, squares, absSum, moments;
    std::vector<float> minimum, maximum;

    explicit Naive(const std::vector<std::vector<float>>& rows)
    {
        const auto n = rows.at(0).size();
        sum = squares = absSum = std::vector<double>(n);
        moments.resize(n * n);
        minimum = maximum = rows[0];
        for (const auto& row : rows)
            for (std::size_t i = 0; i < n; ++i) {
                sum[i] += double(row[i]);
                absSum[i] += std::abs(double(row[i]));
                squares[i] += double(row[i]) * double(row[i]);
                minimum[i] = std::min(minimum[i], row[i]);
                maximum[i] = std::max(maximum[i], row[i]);
                for (std::size_t j = 0; j < n; ++j)
                    moments[i * n + j] += double(row[i]) * double(row[j]);
            }
    }
};

}  // namespace

class TestCalibrate : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void goldenInputs_data()
    {
        QTest::addColumn<QByteArray>("folder");
        QTest::addColumn<QByteArray>("gguf");
        QTest::newRow("query") << QByteArray("stories_0_wq") << QByteArray("blk.0.attn_q.weight");
        QTest::newRow("key") << QByteArray("stories_1_wk") << QByteArray("blk.1.attn_k.weight");
        QTest::newRow("gate") << QByteArray("stories_2_w1") << QByteArray("blk.2.ffn_gate.weight");
        QTest::newRow("down") << QByteArray("stories_3_w2") << QByteArray("blk.3.ffn_down.weight");
        QTest::newRow("output") << QByteArray("stories_4_wo") << QByteArray("blk.4.attn_output.weight");
    }

    void goldenInputs()
    {
        QFETCH(const QByteArray, folder);
        QFETCH(const QByteArray, gguf);
        const auto from = golden() / folder.toStdString();
        QUANTLOUPE_NEED(from);
        if (m_stories.empty()) {
            const auto model = openModel(golden() / "model" / "stories260K.bin");
            QVERIFY(model);
            const auto decoder = describeDecoder(**model);
            QVERIFY2(decoder, decoder ? "" : describe(decoder.error()).c_str());
            auto sequences = goldenTokens("tok_calib");
            for (auto& sequence : sequences)
                sequence.pop_back();
            auto inputs = gather(*decoder, windowsOf(sequences), {.sampleTokens = 4096});
            for (auto& [key, input] : inputs) {
                const auto shared = std::make_shared<GatheredInput>(std::move(input));
                for (const auto& [layer, sums] : shared->figures.layers)
                    m_stories[*ggufName(layer.tensor, (*model)->config.architecture)] = shared;
            }
        }
        const auto found = m_stories.find(gguf.toStdString());
        QVERIFY2(found != m_stories.end(), gguf);
        const auto& [figures, moments, sample] = *found->second;
        const auto hessian = readNpy(from / "H.npy"), first = readNpy(from / "X512.npy"),
                   absMax = readNpy(from / "x_absmax.npy"), mean = readNpy(from / "x_mean.npy"),
                   squares = readNpy(from / "imatrix.npy");
        QVERIFY(hessian && first && absMax && mean && squares);
        QCOMPARE(figures.inputs.tokens, std::uint64_t(4096));
        QVERIFY(difference(wide(moments.whole(), 2.0 / 16.0), wide(hessian->values)) < 1e-5);
        QVERIFY(difference(wide(figures.inputs.sum, 1.0 / 4096.0), wide(mean->values)) < 1e-5);
        QVERIFY(difference(wide(figures.inputs.squares, 1.0 / 4096.0), wide(squares->values)) < 1e-5);
        QVERIFY(difference(wide(figures.inputs.absMax()), wide(absMax->values)) < 1e-5);
        // All tokens were sampled, so that the first 512 are those of the file.
        QCOMPARE(sample.numbers().size(), std::size_t(4096));
        const auto begin = sample.rows().begin();
        const std::vector<float> rows(begin, begin + std::ptrdiff_t(first->values.size()));
        QVERIFY(difference(wide(rows), wide(first->values)) < 1e-5);
    }

    void sumsAreThoseOfAllRows_data()
    {
        QTest::addColumn<QByteArray>("family");
        for (const auto& [name, family] : m_families)
            QTest::newRow(name.c_str()) << QByteArray::fromStdString(name);
    }

    void sumsAreThoseOfAllRows()
    {
        QFETCH(const QByteArray, family);
        const auto& tiny = m_families.at(family.toStdString());
        const QTemporaryDir folder;
        const auto model = openTiny(tiny, folder.path().toStdString());
        QVERIFY(model);
        const auto decoder = describeDecoder(**model).value();
        const auto text = randomWindows(tiny.vocabulary, {140, 9, 30});
        const auto inputs = gather(decoder, text, {.sampleTokens = 16});
        const auto seen = seenLayers(decoder, text);
        QVERIFY(!seen.empty() && !inputs.empty());
        std::size_t layers = 0;
        for (const auto& [key, input] : inputs) {
            const auto& [figures, moments, sample] = input;
            if (figures.inputs.tokens == 0)
                continue;
            const auto& rows = seen.at(key).inputs;
            const Naive naive(rows);
            QCOMPARE(figures.inputs.tokens, std::uint64_t(rows.size()));
            QCOMPARE(figures.tokenRanges.tokens(), std::uint64_t(rows.size()));
            QVERIFY2(difference(figures.inputs.sum, naive.sum) < 1e-4, key.c_str());
            QVERIFY2(difference(figures.inputs.squares, naive.squares) < 1e-4, key.c_str());
            QVERIFY2(difference(figures.inputs.absSum, naive.absSum) < 1e-4, key.c_str());
            QVERIFY2(difference(wide(figures.inputs.minimum), wide(naive.minimum)) < 1e-4, key.c_str());
            QVERIFY2(difference(wide(figures.inputs.maximum), wide(naive.maximum)) < 1e-4, key.c_str());
            QVERIFY2(difference(moments.whole(), naive.moments) < 1e-4, key.c_str());
            QCOMPARE(sample.numbers().size(), std::min<std::size_t>(16, rows.size()));
            for (const auto& [layer, sums] : figures.layers) {
                ++layers;
                QCOMPARE(seen.at(layer.text()).inputs.size(), rows.size());
                if (key == nameOf(decoder, decoder.head).text())
                    continue;  // its outputs are not computed
                const Naive outputs(seen.at(layer.text()).outputs);
                QCOMPARE(sums.tokens, std::uint64_t(rows.size()));
                QVERIFY2(difference(sums.squares, outputs.squares) < 1e-4, layer.text().c_str());
                QVERIFY2(difference(wide(sums.maximum), wide(outputs.maximum)) < 1e-4, layer.text().c_str());
            }
        }
        QCOMPARE(layers, seen.size());
    }

    void sameBitsForAnyThreadsAndMemory_data() { familyColumn(); }

    void sameBitsForAnyThreadsAndMemory()
    {
        QFETCH(const QByteArray, family);
        const auto& tiny = m_families.at(family.toStdString());
        const QTemporaryDir folder;
        const auto model = openTiny(tiny, folder.path().toStdString());
        const auto decoder = describeDecoder(**model).value();
        // A window longer than what is summed in float32; GPT-2 has a table of 300 positions.
        const auto text = randomWindows(tiny.vocabulary, {tiny.gpt2 ? 300U : 600U, 40, 130, 129, 200});
        const GatheringOptions options {.sampleTokens = 100};
        const auto once = gather(decoder, text, options, {.threads = 1});
        QVERIFY(!once.empty());
        QVERIFY(same(gather(decoder, text, options, {.threads = 4}), once));
        // Just enough for the longest window: found by asking for less and less.
        std::uint64_t memory = std::uint64_t {1} << 30U, least = memory;
        Progress progress;
        const auto fits = [&](std::uint64_t bytes) {
            auto stream = ResidualStream::inMemory(std::size_t(tokensOf(text)), decoder.hidden);
            std::stop_source stop;
            stop.request_stop();
            const auto done = calibrate(
                decoder, text, options, {.memory = bytes}, {}, stream,
                [](const GatheredInput&) { return Result<void>(); }, stop.get_token(), progress);
            return !done && done.error().code == ErrorCode::Cancelled;
        };
        for (auto step = memory / 2; step > 0; step /= 2)
            if (fits(least - step))
                least -= step;
        QVERIFY(least < memory / 4 && !fits(least - 1));
        QVERIFY(same(gather(decoder, text, options, {.threads = 2, .memory = least}), once));
    }

    void interruptedRunsGoOn_data() { familyColumn(); }

    /// Stopped when any input is handed on; what had been handed on is not gathered again.
    void interruptedRunsGoOn()
    {
        QFETCH(const QByteArray, family);
        const auto& tiny = m_families.at(family.toStdString());
        const QTemporaryDir folder;
        const auto model = openTiny(tiny, folder.path().toStdString());
        const auto decoder = describeDecoder(**model).value();
        const auto text = randomWindows(tiny.vocabulary, {100, 40});
        const auto tokens = std::size_t(tokensOf(text));
        const auto whole = gather(decoder, text, {.sampleTokens = 20});
        const auto file = folder.filePath("stream").toStdString();
        const std::string identity(32, 'a');
        GatheredInputs inputs;
        std::set<std::string> known;
        std::size_t blocksRun = 0;
        for (std::size_t run = 0; run <= whole.size(); ++run) {
            auto stream = ResidualStream::inFile(file, identity, tokens, decoder.hidden);
            QVERIFY(run == 0 ? !stream.nextBlock() : stream.nextBlock().has_value());
            std::size_t handed = 0;
            const InputSink sink = [&](GatheredInput input) -> Result<void> {
                if (handed++ == 1)
                    return failure(ErrorCode::Cancelled, "test", "killed");
                known.insert(input.figures.key());
                inputs.emplace(input.figures.key(), std::move(input));
                return {};
            };
            Progress progress;
            const auto done = calibrate(
                decoder, text, {.sampleTokens = 20, .halfway = tokens / 2}, {}, known, stream, sink, {}, progress);
            ++blocksRun;
            if (done)
                break;
            QCOMPARE(done.error().code, ErrorCode::Cancelled);
        }
        QVERIFY(blocksRun > decoder.blocks.size());
        QVERIFY(same(inputs, whole));
        // Another text, another size or damage: the stream is not gone on from.
        QVERIFY(ResidualStream::inFile(file, identity, tokens, decoder.hidden).nextBlock());
        QVERIFY(!ResidualStream::inFile(file, std::string(32, 'b'), tokens, decoder.hidden).nextBlock());
        QVERIFY(!ResidualStream::inFile(file, identity, tokens + 1, decoder.hidden).nextBlock());
        QFile bytes(QString::fromStdString(file));
        QVERIFY(bytes.open(QIODevice::ReadWrite) && bytes.seek(bytes.size() / 2) && bytes.write("?") == 1);
        bytes.close();
        QVERIFY(!ResidualStream::inFile(file, identity, tokens, decoder.hidden).nextBlock());
    }

    void refusals()
    {
        auto tiny = m_families.at("llama");
        const QTemporaryDir folder;
        const auto model = openTiny(tiny, folder.path().toStdString());
        const auto decoder = describeDecoder(**model).value();
        const auto refused = [](const Decoder& which, const WindowedText& text, const CalibrationLimits& limits = {}) {
            auto stream = ResidualStream::inMemory(std::size_t(tokensOf(text)), which.hidden);
            Progress progress;
            const auto done = calibrate(
                which, text, {}, limits, {}, stream, [](const GatheredInput&) { return Result<void>(); }, {}, progress);
            return done ? std::string() : describe(done.error());
        };
        const auto text = randomWindows(tiny.vocabulary, {20});
        QCOMPARE(refused(decoder, text), std::string());
        QVERIFY(refused(decoder, {}).find("no window") != std::string::npos);
        QVERIFY(refused(decoder, windowsOf({{1, 2, 61}})).find("beyond the vocabulary") != std::string::npos);
        QVERIFY(refused(decoder, text, {.memory = 1000}).find("too few") != std::string::npos);
        tiny.tensors.at("model.layers.1.mlp.up_proj.weight").values[5] = std::nanf("");
        const QTemporaryDir second;
        const auto broken = openTiny(tiny, second.path().toStdString());
        const auto message = refused(describeDecoder(**broken).value(), text);
        QVERIFY2(message.find("model.layers.1.mlp.up_proj.weight") != std::string::npos, message.c_str());
    }

private:
    void familyColumn()
    {
        QTest::addColumn<QByteArray>("family");
        for (const auto* family : {"llama", "gpt2", "phi3", "mixtral", "qwen2_moe"})
            QTest::newRow(family) << QByteArray(family);
    }

    std::map<std::string, TinyDecoder> m_families = tinyFamilies();
    std::map<std::string, std::shared_ptr<GatheredInput>> m_stories;
};

QTEST_APPLESS_MAIN(TestCalibrate)
#include "tst_calibrate.moc"
