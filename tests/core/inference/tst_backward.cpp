// SPDX-License-Identifier: GPL-3.0-or-later
// Gradients of small decoders of every family by every weight, against those that a second implementation notes scalar
// by scalar, and against differences of losses in double.
#include "core/base/compute_arena.h"
#include "core/inference/backward.h"
#include "core/inference/kept_block.h"
#include "core/inference/operations_backward.h"
#include "tests/core/inference/summed_gradients.h"
#include "tests/core/inference/taped_loss.h"
#include "tests/core/inference/tiny_families.h"

#include <QTest>

#include <memory>

using namespace quantloupe;
using namespace quantloupe::tests;

namespace {

WindowedText textOf(const TinyDecoder& d, const std::vector<TokenWindow>& windows)
{
    WindowedText text {.windows = windows};
    std::mt19937 random(5);
    text.tokens.resize(windows.back().begin + windows.back().length);
    for (auto& token : text.tokens)
        token = std::uint32_t(random() % d.vocabulary);
    return text;
}

struct Backward {
    BackwardResult result;
    std::map<std::string, std::vector<double>> gradients;
    std::map<std::size_t, int> asked;  ///< how often the weights of a tensor were asked for
};

Result<Backward> runFast(
    const Model& model, const WindowedText& text, unsigned threads = 2, std::uint64_t spareBytes = 0)
{
    const auto decoder = describeDecoder(model);
    if (!decoder)
        return tl::unexpected(decoder.error());
    SummedGradients sums(*decoder);
    std::map<std::size_t, int> asked;
    const BackwardHooks hooks {.weights = [&](std::size_t tensor) -> Result<RowReplacer> {
                                   ++asked[tensor];
                                   return RowReplacer();
                               },
        .loss = crossEntropyLoss(text),
        .sink =
            [&](const PartGradients& part) {
                sums.add(part);
                return Result<void>();
            },
        .head = true,
        .spareBytes = spareBytes};
    Progress progress;
    auto result = ComputeArena(threads).execute(
        [&] { return runBackward(*decoder, text, 0, text.windows.size(), hooks, {}, ProgressShare(progress, 1000)); });
    if (!result)
        return tl::unexpected(result.error());
    sums.add(result->embedded, text);
    return Backward {std::move(*result), sums.sums(), std::move(asked)};
}

double largestOf(const std::vector<double>& values)
{
    double largest = 0.0;
    for (const double value : values)
        largest = std::max(largest, std::abs(value));
    return largest;
}

class TestBackward : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase() { m_families = tinyFamilies(); }

    void noted_data()
    {
        QTest::addColumn<QByteArray>("family");
        QTest::addColumn<int>("length");
        for (const auto& [name, family] : m_families)
            QTest::newRow(name.c_str()) << QByteArray(name.c_str()) << 11;
        // More than attention works on together, so that its tiles meet.
        for (const auto* name : {"llama", "gemma2"})
            QTest::addRow("%s, long", name) << QByteArray(name) << 66;
    }

    void noted()
    {
        QFETCH(const QByteArray, family);
        QFETCH(const int, length);
        const auto& d = m_families.at(family.toStdString());
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto longest = std::size_t(length);
        const auto text =
            textOf(d, {{.begin = 0, .length = longest}, {.begin = longest, .length = 8, .firstScored = 3}});
        const auto fast = runFast(**model, text);
        QVERIFY2(fast, fast ? "" : describe(fast.error()).c_str());

        const auto expectedAll = tapedDerivatives(d, text);
        QVERIFY(std::abs(fast->result.loss - expectedAll.loss) < 1e-5 * expectedAll.loss);
        QCOMPARE(fast->result.predictions, longest - 1 + 4);
        for (const auto& [name, expected] : expectedAll.weights) {
            const auto found = fast->gradients.find(name);
            QVERIFY2(found != fast->gradients.end(), name.c_str());
            const double size = largestOf(expected);
            // Softmax does not see what all keys have in common: exact derivatives of their biases are 0.
            const double floor = 1e-3;
            for (std::size_t i = 0; i < expected.size(); ++i) {
                const double difference = std::abs(found->second[i] - expected[i]);
                QVERIFY2(difference <= 1e-4 * std::max(size, floor),
                    qPrintable(QString("%1[%2]: %3, expected %4 (largest %5)")
                                   .arg(name.c_str())
                                   .arg(i)
                                   .arg(found->second[i])
                                   .arg(expected[i])
                                   .arg(size)));
            }
        }
        QCOMPARE(fast->gradients.size(), d.tensors.size());
    }

    void differences_data()
    {
        QTest::addColumn<QByteArray>("family");
        for (const auto* name : {"llama with biases and its own head", "gpt2", "gemma2", "qwen2", "qwen3", "mixtral"})
            QTest::newRow(name) << QByteArray(name);
    }

    void differences()
    {
        QFETCH(const QByteArray, family);
        auto d = m_families.at(family.toStdString());
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY2(model, model ? "" : describe(model.error()).c_str());
        const auto text = textOf(d, {{.begin = 0, .length = 9, .firstScored = 1}});
        const auto fast = runFast(**model, text);
        QVERIFY2(fast, fast ? "" : describe(fast.error()).c_str());
        std::mt19937 random(9);
        for (auto& [name, tensor] : d.tensors) {
            const auto& gradient = fast->gradients.at(name);
            // The steepest of some: differences tell small derivatives badly.
            std::size_t at = random() % gradient.size();
            for (int i = 0; i < 50; ++i)
                if (const auto other = random() % gradient.size(); std::abs(gradient[other]) > std::abs(gradient[at]))
                    at = other;
            auto& weight = tensor.values[at];
            const float middle = weight, above = middle + 1e-3F, below = middle - 1e-3F;
            weight = above;
            const double lossAbove = slowLoss<double>(d, text, PlainWeights());
            weight = below;
            const double lossBelow = slowLoss<double>(d, text, PlainWeights());
            weight = middle;
            const double expected = (lossAbove - lossBelow) / (double(above) - double(below));
            QVERIFY2(std::abs(gradient[at] - expected) <= 2e-4 * std::max(largestOf(gradient), 0.05),
                qPrintable(
                    QString("%1[%2]: %3, expected %4").arg(name.c_str()).arg(at).arg(gradient[at]).arg(expected)));
        }
    }

    void bitsDoNotDependOnThreads()
    {
        const auto& d = m_families.at("gemma2");
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY(model);
        const auto text = textOf(d, {{0, 70, 0}, {70, 30, 4}, {100, 5, 0}, {105, 66, 60}});
        const auto one = runFast(**model, text, 1), three = runFast(**model, text, 3);
        QVERIFY(one && three);
        QCOMPARE(one->result.loss, three->result.loss);
        QVERIFY(one->gradients == three->gradients);
        QVERIFY(std::ranges::equal(one->result.embedded.values, three->result.embedded.values));
    }

    void bitsDoNotDependOnMemory_data()
    {
        QTest::addColumn<QByteArray>("family");
        for (const auto& [name, family] : m_families)
            QTest::newRow(name.c_str()) << QByteArray(name.c_str());
    }

    /// Whether no block, some or all keep what flows through them.
    void bitsDoNotDependOnMemory()
    {
        QFETCH(const QByteArray, family);
        const auto& d = m_families.at(family.toStdString());
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY(model);
        const auto text = textOf(d, {{0, 66, 0}, {66, 30, 4}, {96, 5, 0}});
        const auto decoder = describeDecoder(**model);
        QVERIFY(decoder && decoder->blocks.size() > 1);
        const std::vector<Sequence> sequences {{0, 66, 0}, {66, 30, 1}, {96, 5, 2}};
        const auto ofOne = KeptBlock::bytes(*decoder, 0, sequences, false);
        const auto none = runFast(**model, text), some = runFast(**model, text, 2, ofOne),
                   all = runFast(**model, text, 2, std::uint64_t {1} << 30U);
        QVERIFY(none && some && all);
        for (const auto* other : {&*some, &*all}) {
            QCOMPARE(other->result.loss, none->result.loss);
            QVERIFY(other->gradients == none->gradients);
            QVERIFY(std::ranges::equal(other->result.embedded.values, none->result.embedded.values));
        }
        // Weights of a block that is kept are read once, of others on both ways.
        for (std::size_t block = 0; block < decoder->blocks.size(); ++block) {
            const auto tensor = matricesOf(decoder->blocks[block]).front();
            QCOMPARE(none->asked.at(tensor), 2);
            QCOMPARE(some->asked.at(tensor), block == 0 ? 1 : 2);
            QCOMPARE(all->asked.at(tensor), 1);
        }
    }

    void divergenceOfTheSameIsZero()
    {
        const std::vector<float> teacher {0.5F, -2.0F, 3.0F, 0.0F};
        auto same = teacher;
        QVERIFY(divergenceBackward(same, teacher) < 1e-12);
        for (const float value : same)
            QVERIFY(std::abs(value) < 1e-7F);
    }

    /// By differences of the definition Σ p log(p/q).
    void divergence()
    {
        const std::vector<float> teacher {0.5F, -2.0F, 1.0F, 0.25F}, student {0.0F, 1.0F, -1.0F, 0.5F};
        const auto definition = [&](std::vector<double> logits) {
            double p = 0.0, q = 0.0, kl = 0.0;
            for (std::size_t i = 0; i < 4; ++i) {
                p += std::exp(double(teacher[i]));
                q += std::exp(logits[i]);
            }
            for (std::size_t i = 0; i < 4; ++i)
                kl += std::exp(double(teacher[i])) / p * (double(teacher[i]) - std::log(p) - logits[i] + std::log(q));
            return kl;
        };
        auto gradient = student;
        const double loss = divergenceBackward(gradient, teacher);
        const std::vector<double> at(student.begin(), student.end());
        QVERIFY(std::abs(loss - definition(at)) < 1e-9);
        for (std::size_t i = 0; i < 4; ++i) {
            auto above = at, below = at;
            above[i] += 1e-5;
            below[i] -= 1e-5;
            QVERIFY(std::abs(double(gradient[i]) - (definition(above) - definition(below)) / 2e-5) < 1e-6);
        }
    }

    /// ⟨rotate(x), y⟩ = ⟨x, back(y)⟩: what goes back is the transpose of what went forward.
    void rotation_data()
    {
        QTest::addColumn<bool>("pairs");
        QTest::newRow("halves") << false;
        QTest::newRow("pairs") << true;
    }

    void rotation()
    {
        QFETCH(const bool, pairs);
        const auto kind = pairs ? PositionKind::Pairs : PositionKind::Halves;
        auto rotary = makeRotary({}, 100.0, 6, std::nullopt, {});
        QVERIFY(rotary);
        rotary->attentionFactor = 1.25F;
        const auto table = rotaryTable(*rotary, 12);
        std::mt19937 random(4);
        std::normal_distribution<float> normal;
        std::vector<float> x(5 * 16), y(5 * 16);  // two heads of 8, of which 6 turn
        for (auto* values : {&x, &y})
            for (auto& value : *values)
                value = normal(random);
        auto forward = x, back = y;
        rotateHeads({forward.data(), 5, 16, 16}, 8, table, 7, kind);
        rotateHeadsBackward({back.data(), 5, 16, 16}, 8, table, 7, kind);
        double one = 0.0, other = 0.0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            one += double(forward[i]) * double(y[i]);
            other += double(x[i]) * double(back[i]);
        }
        QVERIFY(std::abs(one - other) < 1e-5);
        QVERIFY(forward != x && back != y);
    }

    void integersHaveNoGradients()
    {
        const auto& d = m_families.at("llama");
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY(model);
        auto decoder = describeDecoder(**model);
        QVERIFY(decoder);
        setIntegerFunctions(*decoder, true);
        const auto text = textOf(d, {{0, 9, 0}});
        Progress progress;
        const auto result =
            runBackward(*decoder, text, 0, 1, {.loss = crossEntropyLoss(text)}, {}, ProgressShare(progress, 0));
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::Unsupported);
    }

    void stops()
    {
        const auto& d = m_families.at("llama");
        const QTemporaryDir folder;
        const auto model = openTiny(d, folder.path().toStdString());
        QVERIFY(model);
        const auto decoder = describeDecoder(**model);
        QVERIFY(decoder);
        const auto text = textOf(d, {{0, 9, 0}});
        std::stop_source source;
        Progress progress;
        const BackwardHooks hooks {.loss = crossEntropyLoss(text), .sink = [&](const PartGradients& part) {
                                       if (!part.block)
                                           source.request_stop();
                                       return Result<void>();
                                   }};
        const auto result = runBackward(*decoder, text, 0, 1, hooks, source.get_token(), ProgressShare(progress, 0));
        QVERIFY(!result);
        QCOMPARE(result.error().code, ErrorCode::Cancelled);
    }

private:
    std::map<std::string, TinyDecoder> m_families;
};

}  // namespace

QTEST_APPLESS_MAIN(TestBackward)
#include "tst_backward.moc"
