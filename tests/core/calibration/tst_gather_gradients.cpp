// SPDX-License-Identifier: GPL-3.0-or-later
// What a backward pass teaches about each layer, against sums over single tokens and derivatives that a second
// implementation notes.
#include "core/calibration/gather_gradients.h"
#include "core/calibration/shared_inputs.h"
#include "core/inference/backward.h"
#include "tests/core/inference/taped_loss.h"
#include "tests/core/inference/tiny_families.h"
#include "tests/support/text_windows.h"

#include <QTest>

#include <cmath>
#include <map>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

using Gathered = std::map<std::string, GatheredGradients>;

Result<Gathered> gathered(const Decoder& decoder, const WindowedText& text, bool fisher = true,
    const CalibrationLimits& limits = {}, const std::set<std::string>& known = {})
{
    Gathered all;
    const GradientLayerSink sink = [&](GatheredGradients one) -> Result<void> {
        const auto name = one.figures.layer.text();
        all.emplace(name, std::move(one));
        return {};
    };
    Progress progress;
    auto done = gatherGradients(decoder, text, fisher, limits, known, sink, {}, progress);
    if (!done)
        return tl::unexpected(done.error());
    if (progress.doneBytes != progress.totalBytes || progress.doneItems != progress.totalItems)
        return failure(ErrorCode::Internal, "progress", "ends elsewhere than it said");
    return all;
}

/// Σ g·gᵀ and Σ g², one token and one number at a time.
struct NaiveSums {
    std::vector<double> products, squares;
};

std::map<std::string, NaiveSums> naiveSums(const Decoder& decoder, const WindowedText& text)
{
    std::map<std::string, NaiveSums> sums;
    const BackwardHooks hooks {.loss = crossEntropyLoss(text),
        .sink =
            [&](const PartGradients& part) {
                for (const auto& sequence : part.sequences)
                    for (const auto& gradient : sequence.layers) {
                        const auto outputs = gradient.layer.outputs;
                        auto& [products, squares] = sums[nameOf(decoder, gradient.layer).text()];
                        products.resize(outputs * outputs);
                        squares.resize(outputs);
                        for (std::size_t t = 0; t < gradient.outputs.rows; ++t)
                            for (std::size_t i = 0; i < outputs; ++i) {
                                const auto* g = gradient.outputs.row(t);
                                squares[i] += double(g[i]) * double(g[i]);
                                for (std::size_t j = 0; j < outputs; ++j)
                                    products[i * outputs + j] += double(g[i]) * double(g[j]);
                            }
                    }
                return Result<void>();
            },
        .head = true};
    Progress progress;
    if (!runBackward(decoder, text, 0, text.windows.size(), hooks, {}, ProgressShare(progress, 0)))
        return {};
    return sums;
}

}  // namespace

class TestGatherGradients : public QObject
{
    Q_OBJECT
    std::map<std::string, TinyDecoder> m_families;
    QTemporaryDir m_folder;
    ModelPointer m_model;
    const WindowedText m_text = randomWindows(61, {9, 14, 6}, 3);

    Decoder open(const char* family)
    {
        m_model = openTiny(m_families.at(family), m_folder.path().toStdString()).value();
        return describeDecoder(*m_model).value();
    }

private Q_SLOTS:
    void initTestCase() { m_families = tinyFamilies(); }

    void sums_data()
    {
        QTest::addColumn<QByteArray>("family");
        for (const auto* name : {"llama", "llama with biases and its own head", "phi3", "qwen2_moe"})
            QTest::newRow(name) << QByteArray(name);
    }

    void sums()
    {
        QFETCH(const QByteArray, family);
        const auto& d = m_families.at(family.toStdString());
        const auto decoder = open(family.constData());
        const auto all = gathered(decoder, m_text);
        QVERIFY2(all, all ? "" : describe(all.error()).c_str());
        const auto naive = naiveSums(decoder, m_text);
        QVERIFY(!naive.empty());
        QCOMPARE(all->size(), naive.size());

        // Each window's own derivatives, squared and summed up.
        std::map<std::string, std::vector<double>> fisher;
        for (const auto& window : m_text.windows) {
            auto one = m_text;
            one.windows = {window};
            for (const auto& [name, derivatives] : tapedDerivatives(d, one).weights) {
                auto& sum = fisher[name];
                sum.resize(derivatives.size());
                for (std::size_t i = 0; i < sum.size(); ++i)
                    sum[i] += derivatives[i] * derivatives[i];
            }
        }
        for (const auto& [name, one] : *all) {
            const auto& [products, squares] = naive.at(name);
            const auto& figures = one.figures;
            QCOMPARE(figures.text.predictions, std::uint64_t(8 + 13 + 5));
            QCOMPARE(figures.text.windows, std::uint64_t(3));
            QCOMPARE(figures.outputs(), squares.size());
            const auto whole = one.moments.whole();
            const double size = *std::max_element(products.begin(), products.end());
            for (std::size_t i = 0; i < products.size(); ++i)
                QVERIFY(std::abs(whole[i] - products[i]) <= 1e-5 * size);
            for (std::size_t i = 0; i < squares.size(); ++i)
                QVERIFY(std::abs(figures.squares[i] - squares[i]) <= 1e-6 * size);
            if (d.tied && figures.layer.tensor == m_model->tensors[decoder.embedding].name)
                continue;  // the derivatives are those of the embedding too
            const auto& expected = fisher.at(name);
            QCOMPARE(one.fisher.size(), expected.size());
            QCOMPARE(std::size_t(figures.columns) * figures.outputs(), expected.size());
            const double largest = *std::max_element(expected.begin(), expected.end());
            for (std::size_t i = 0; i < expected.size(); ++i)
                QVERIFY(std::abs(double(one.fisher[i]) - expected[i]) <= 2e-4 * largest);
        }
    }

    void threadsMakeNoDifference()
    {
        const auto decoder = open("gemma2");
        const auto one = gathered(decoder, m_text, true, {.threads = 1});
        const auto three = gathered(decoder, m_text, true, {.threads = 3});
        QVERIFY(one && three);
        for (const auto& [name, first] : *one) {
            const auto& second = three->at(name);
            QVERIFY(first.figures == second.figures && first.fisher == second.fisher);
            QVERIFY(first.moments.whole() == second.moments.whole());
        }
    }

    void whatIsKnownIsLeftOut()
    {
        const auto decoder = open("llama");
        const auto all = gathered(decoder, m_text, false);
        QVERIFY(all);
        QCOMPARE(all->size(), std::size_t(15));
        const auto first = all->begin()->first;
        const auto rest = gathered(decoder, m_text, false, {}, {first});
        QVERIFY(rest);
        QCOMPARE(rest->size(), std::size_t(14));
        QVERIFY(!rest->contains(first));
        for (const auto& [name, one] : *rest)
            QVERIFY(one.fisher.empty() && one.figures == all->at(name).figures);
        QVERIFY(gradientIdentity(m_text, true) != gradientIdentity(m_text, false));
    }

    void windows()
    {
        auto text = randomWindows(61, {9, 14, 6, 30}, 3);
        text.windows[1].firstScored = 7;
        const auto cut = windowsForGradients(text, 29);
        QCOMPARE(cut.windows.size(), std::size_t(3));
        QCOMPARE(cut.scored(), std::size_t(8 + 13 + 5));
        QCOMPARE(windowsForGradients(text, 2).windows.size(), std::size_t(1));
    }

    void refusals()
    {
        const auto decoder = open("llama");
        const auto little = gathered(decoder, m_text, true, {.memory = 10'000});
        QVERIFY(!little);
        QCOMPARE(little.error().code, ErrorCode::InvalidArgument);
        const auto nothing = gathered(decoder, WindowedText());
        QVERIFY(!nothing);
        QCOMPARE(nothing.error().code, ErrorCode::InvalidArgument);
        const auto beyond = gathered(decoder, randomWindows(100'000, {9}));
        QVERIFY(!beyond);
        QCOMPARE(beyond.error().code, ErrorCode::InvalidArgument);
    }
};

QTEST_APPLESS_MAIN(TestGatherGradients)
#include "tst_gather_gradients.moc"
