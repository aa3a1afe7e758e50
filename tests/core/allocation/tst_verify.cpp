// SPDX-License-Identifier: GPL-3.0-or-later
// Recipes whose errors do more than add up, measured by a formula that the search does not know.
#include "core/allocation/verify.h"
#include "tests/support/model_catalogs.h"

#include <QTest>

#include <cmath>
#include <random>
#include <set>

using namespace quantloupe;

namespace {

constexpr const char* kSchemes[] = {"int2", "int3", "int4", "int8"};

/// A study whose tensors have random divergences that halve with each bit and more.
StudySnapshot studyOf(unsigned seed, unsigned blocks = 2)
{
    std::mt19937 random {seed};
    std::uniform_real_distribution<double> chance(0.3, 3.0);
    StudySnapshot study;
    study.model = tests::llama({.blocks = blocks});
    for (const auto& tensor : study.model.tensors) {
        if (!tensor.quantizable)
            continue;
        TensorMeasurement measurement;
        measurement.tensor = tensor.name;
        const double weight = chance(random);
        for (const auto* text : kSchemes) {
            SchemeMeasurement result;
            result.scheme = tests::scheme(text);
            result.storedBytes = result.scheme.storedBytes(tensor.matrix);
            result.error.count = tensor.parameters();
            result.error.signalEnergy = 1.0;
            result.divergence = {.mean = 0.1 * weight * std::exp2(-2.0 * codeBits(result.scheme.format)),
                .standardError = 1e-6,
                .predictions = 100,
                .text = 1};
            measurement.schemes.push_back(std::move(result));
        }
        study.add(measurement);
    }
    return study;
}

/// The truth: the sum, and products of groups' errors, each pair weighed at random.
struct Truth {
    Truth(const Frontier& groups, double strength, unsigned seed)
        : frontier(groups)
    {
        std::mt19937 random {seed};
        std::uniform_real_distribution<double> chance(0.0, 2.0);
        for (std::size_t i = 0; i < groups.groups.size() * groups.groups.size(); ++i)
            pairs.push_back(strength * chance(random));
    }

    double of(const std::vector<std::uint32_t>& choice) const
    {
        std::vector<double> roots;
        double error = 0.0;
        for (std::size_t i = 0; i < choice.size(); ++i) {
            const double own = frontier.groups[i].options[choice[i]].error;
            roots.push_back(std::sqrt(own));
            error += own;
            for (std::size_t j = 0; j < i; ++j)
                error += pairs[(i * choice.size()) + j] * roots[i] * roots[j];
        }
        return error;
    }

    const Frontier& frontier;
    std::vector<double> pairs;
    mutable std::size_t calls = 0;

    ChoiceMeasure measure() const
    {
        return [this](const std::vector<std::uint32_t>& choice) -> Result<MeasuredError> {
            ++calls;
            return MeasuredError {of(choice), 1e-9};
        };
    }
};

/// Least true error of all choices within the bytes, by trying them all.
double bestByTryingAll(const Truth& truth, const StudySnapshot& study, double bytes)
{
    const auto& groups = truth.frontier.groups;
    double best = INFINITY;
    std::vector<std::uint32_t> choice(groups.size(), 0);
    for (;;) {
        if (double(predictedOf(truth.frontier, study, choice).bytes) <= bytes)
            best = std::min(best, truth.of(choice));
        std::size_t digit = 0;
        while (digit < choice.size() && ++choice[digit] == groups[digit].options.size())
            choice[digit++] = 0;
        if (digit == choice.size())
            return best;
    }
}

Frontier frontierOf(const StudySnapshot& study)
{
    return frontier(study, {}, {"model.embed_tokens.weight", "lm_head.weight"}, ErrorMetric::MeasuredKl).value();
}

AllocationLimit middleOf(const Frontier& frontier, double share)
{
    const double least = double(frontier.points.front().bytes), most = double(frontier.points.back().bytes);
    return {.value = least + share * (most - least)};
}

}  // namespace

class TestVerify : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void stopsWhereSumsHold()
    {
        const auto study = studyOf(1);
        const auto found = frontierOf(study);
        const Truth truth {found, 0.0, 1};
        const auto limit = middleOf(found, 0.2);
        const auto allocation = allocateWithin(found, study, limit).value();
        const auto verified = verifyAllocation(found, study, limit, allocation, {}, truth.measure()).value();
        QCOMPARE(truth.calls, std::size_t(1));
        QCOMPARE(verified.best, std::size_t(0));
        QCOMPARE(verified.tried.front().choice, allocation.choice);
        QVERIFY(std::abs(verified.tried.front().measured.value - allocation.point.error) < 1e-12);
        QCOMPARE(verified.tried.front().predicted.bytes, allocation.point.bytes);
    }

    void comesNearTheTrueOptimum_data()
    {
        QTest::addColumn<unsigned>("seed");
        for (unsigned seed = 1; seed <= 6; ++seed)
            QTest::addRow("seed %u", seed) << seed;
    }

    /// Five schemes for eight groups: 390,625 choices, of which the search sees forty.
    void comesNearTheTrueOptimum()
    {
        QFETCH(unsigned, seed);
        const auto study = studyOf(seed);
        const auto found = frontierOf(study);
        const Truth truth {found, 0.5, 77 + seed};
        const auto limit = middleOf(found, 0.12);
        const auto allocation = allocateWithin(found, study, limit).value();
        const auto verified =
            verifyAllocation(found, study, limit, allocation, {.evaluations = 40}, truth.measure()).value();
        const double optimum = bestByTryingAll(truth, study, limit.value), start = truth.of(allocation.choice);
        const auto& best = verified.tried[verified.best];
        qInfo("sum %.5f, measured %.5f, found %.5f, optimum %.5f", allocation.point.error, start, best.measured.value,
            optimum);
        QVERIFY(truth.calls <= 40);
        QCOMPARE(truth.calls, verified.tried.size());
        for (const auto& tried : verified.tried) {
            QVERIFY(double(tried.predicted.bytes) <= limit.value);
            QCOMPARE(tried.measured.value, truth.of(tried.choice));
            QVERIFY(tried.measured.value >= best.measured.value);
        }
        QVERIFY(best.measured.value <= start);
        QVERIFY(best.measured.value <= 1.02 * optimum);
    }

    void measuresNothingTwice()
    {
        const auto study = studyOf(4);
        const auto found = frontierOf(study);
        const Truth truth {found, 1.0, 5};
        const auto limit = middleOf(found, 0.3);
        const auto allocation = allocateWithin(found, study, limit).value();
        const auto verified = verifyAllocation(
            found, study, limit, allocation, {.evaluations = 200, .onlyWhereItMatters = false}, truth.measure())
                                  .value();
        std::set<std::vector<std::uint32_t>> choices;
        for (const auto& tried : verified.tried)
            QVERIFY(choices.insert(tried.choice).second);
        const auto one = verifyAllocation(
            found, study, limit, allocation, {.evaluations = 1, .onlyWhereItMatters = false}, truth.measure());
        QCOMPARE(one->tried.size(), std::size_t(1));
    }

    /// Measured errors keep to the limit, in fewer bytes than those of any smaller sum that was tried.
    void limitsOfErrorHoldAsMeasured_data()
    {
        QTest::addColumn<double>("interaction");
        QTest::newRow("sums far off") << 0.5;
        QTest::newRow("sums off by little") << 0.01;
    }

    void limitsOfErrorHoldAsMeasured()
    {
        QFETCH(const double, interaction);
        for (unsigned seed = 1; seed <= 6; ++seed) {
            const auto study = studyOf(seed);
            const auto found = frontierOf(study);
            const Truth truth {found, interaction, seed};
            const double error = found.points[found.points.size() / 2].error;
            const AllocationLimit limit {AllocationLimit::Kind::TotalError, error};
            const auto allocation = allocateWithin(found, study, limit).value();
            QVERIFY(truth.of(allocation.choice) > error);
            const auto verified = verifyAllocation(found, study, limit, allocation, {}, truth.measure()).value();
            const auto& best = verified.tried[verified.best];
            QVERIFY(verified.met);
            QVERIFY(best.measured.value <= error);
            QVERIFY(best.measured.value > 0.7 * error);
            for (const auto& tried : verified.tried)
                QVERIFY(tried.measured.value > error || tried.predicted.bytes >= best.predicted.bytes);
        }
    }

    void saysWhenNoRecipeKeepsToTheError()
    {
        const auto study = studyOf(2);
        const auto found =
            frontier(study, {"int4"}, {"model.embed_tokens.weight", "lm_head.weight"}, ErrorMetric::MeasuredKl).value();
        const auto alwaysTooMuch = [](const std::vector<std::uint32_t>&) -> Result<MeasuredError> {
            return MeasuredError {100.0, 0.0};
        };
        const AllocationLimit limit {AllocationLimit::Kind::TotalError, found.points[1].error};
        const auto allocation = allocateWithin(found, study, limit).value();
        const auto verified = verifyAllocation(found, study, limit, allocation, {}, alwaysTooMuch).value();
        QVERIFY(!verified.met);
        const auto broken = [](const std::vector<std::uint32_t>&) -> Result<MeasuredError> {
            return failure(ErrorCode::Cancelled, "", "stopped");
        };
        QCOMPARE(verifyAllocation(found, study, limit, allocation, {}, broken).error().code, ErrorCode::Cancelled);
    }

    /// Costs of another kind than bytes, against all combinations.
    void limitsOfCostAreKeptExactly()
    {
        std::mt19937 random {3};
        for (unsigned round = 0; round < 10; ++round) {
            const auto study = studyOf(round, 1);
            const auto found = frontierOf(study);
            // Per tensor a rate of its own: bytes alone do not say the cost.
            std::vector<double> rates;
            for (std::size_t i = 0; i < study.model.tensors.size(); ++i)
                rates.push_back(1.0 + double(random() % 100) / 25.0);
            const TensorCost costOf = [&](std::size_t tensor, const std::string& text) {
                const auto& one = study.model.tensors[tensor];
                const auto bytes = text.empty() ? one.bytes : Scheme::parse(text)->storedBytes(one.matrix);
                return rates[tensor] * double(bytes);
            };
            const auto costOfAll = [&](const std::vector<std::uint32_t>& choice) {
                double cost = 5.0;
                std::vector<std::string> schemes(study.model.tensors.size());
                for (std::size_t i = 0; i < choice.size(); ++i)
                    for (const auto tensor : found.groups[i].tensors)
                        schemes[tensor] = found.groups[i].options[choice[i]].scheme;
                for (std::size_t i = 0; i < schemes.size(); ++i)
                    cost += costOf(i, schemes[i]);
                return cost;
            };
            std::vector<std::uint32_t> smallest(found.groups.size(), 0), largest;
            for (const auto& group : found.groups)
                largest.push_back(std::uint32_t(group.options.size() - 1));
            const double least = costOfAll(smallest), most = costOfAll(largest);
            AllocationLimit limit {
                AllocationLimit::Kind::TotalCost, least + 0.2 * (most - least), costOf, 5.0, "apples"};
            const auto allocation = allocateWithin(found, study, limit).value();
            QVERIFY(allocation.optimal);
            QVERIFY(std::abs(allocation.cost - costOfAll(allocation.choice)) < 1e-9 * most);
            QVERIFY(allocation.cost <= limit.value * (1.0 + 1e-9));
            double best = INFINITY;
            std::vector<std::uint32_t> choice(found.groups.size(), 0);
            for (;;) {
                if (costOfAll(choice) <= limit.value)
                    best = std::min(best, predictedOf(found, study, choice).error);
                std::size_t digit = 0;
                while (digit < choice.size() && ++choice[digit] == found.groups[digit].options.size())
                    choice[digit++] = 0;
                if (digit == choice.size())
                    break;
            }
            QVERIFY(std::abs(allocation.point.error - best) <= 1e-12 * best);
            limit.value = 0.99 * least;
            const auto none = allocateWithin(found, study, limit);
            QVERIFY(!none && none.error().reason.find("apples") != std::string::npos);
        }
    }

    void tensorsOfAFusedGroupMayChooseApart()
    {
        const auto study = studyOf(1);
        const auto apart =
            frontier(study, {}, {"model.embed_tokens.weight", "lm_head.weight"}, ErrorMetric::MeasuredKl, Fused::Apart)
                .value();
        QCOMPARE(frontierOf(study).groups.size(), std::size_t(8));
        QCOMPARE(apart.groups.size(), std::size_t(14));
        for (const auto& group : apart.groups)
            QCOMPARE(group.tensors.size(), std::size_t(1));
    }
};

QTEST_APPLESS_MAIN(TestVerify)
#include "tst_verify.moc"
