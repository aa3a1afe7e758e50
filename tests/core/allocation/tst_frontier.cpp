// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/allocation/allocation.h"
#include "tests/support/model_catalogs.h"

#include <QTest>

#include <cmath>
#include <functional>
#include <random>

using namespace quantloupe;

namespace {

const std::vector<std::string> kSchemes {"int2", "int3", "int4:g32", "int4", "int6", "int8", "nf4:g64"};

/// A study in which every scheme has a random error that falls with its size on the whole, not always.
StudySnapshot studyOf(ModelCatalog model, unsigned seed, const std::vector<std::string>& schemes = kSchemes)
{
    std::mt19937 random {seed};
    std::uniform_real_distribution<double> chance(0.3, 3.0);
    StudySnapshot study;
    study.model = std::move(model);
    for (const auto& tensor : study.model.tensors) {
        if (!tensor.quantizable)
            continue;
        TensorMeasurement measurement;
        measurement.tensor = tensor.name;
        const double energy = double(tensor.parameters()) * chance(random);
        for (const auto& text : schemes) {
            SchemeMeasurement result;
            result.scheme = tests::scheme(text);
            result.storedBytes = result.scheme.storedBytes(tensor.matrix);
            result.bitsPerWeight = result.scheme.bitsPerWeight(tensor.matrix);
            result.error.count = tensor.parameters();
            result.error.signalEnergy = energy;
            result.error.errorEnergy = energy * std::exp2(-2.0 * result.bitsPerWeight) * chance(random);
            measurement.schemes.push_back(std::move(result));
        }
        study.add(measurement);
    }
    return study;
}

std::uint64_t decidedBytes(const Frontier& frontier, const std::vector<std::uint32_t>& choice)
{
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < choice.size(); ++i)
        bytes += frontier.groups[i].options[choice[i]].bytes;
    return bytes;
}

double decidedError(const Frontier& frontier, const std::vector<std::uint32_t>& choice)
{
    double error = 0.0;
    for (std::size_t i = 0; i < choice.size(); ++i)
        error += frontier.groups[i].options[choice[i]].error;
    return error;
}

/// Least error of all combinations that take at most `bytes`, by trying them all.
double bestByTryingAll(const Frontier& frontier, std::uint64_t bytes)
{
    double best = INFINITY;
    std::vector<std::uint32_t> choice(frontier.groups.size(), 0);
    const std::function<void(std::size_t)> descend = [&](std::size_t group) {
        if (group == choice.size()) {
            if (decidedBytes(frontier, choice) <= bytes)
                best = std::min(best, decidedError(frontier, choice));
            return;
        }
        for (choice[group] = 0; choice[group] < frontier.groups[group].options.size(); ++choice[group])
            descend(group + 1);
    };
    descend(0);
    return best;
}

}  // namespace

class TestFrontier : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void everyPointIsOptimalForItsSize_data()
    {
        QTest::addColumn<int>("seed");
        for (int seed = 0; seed < 12; ++seed)
            QTest::addRow("seed %d", seed) << seed;
    }

    void everyPointIsOptimalForItsSize()
    {
        QFETCH(int, seed);
        // One block: q/k/v, o, gate/up, down. Few enough to try every combination.
        const auto study = studyOf(tests::llama({.blocks = 1}), unsigned(seed));
        const auto result = frontier(study, {}, {"model.embed_tokens.weight"});
        QVERIFY(result);
        QCOMPARE(result->groups.size(), std::size_t(4));
        QCOMPARE(result->groups[0].tensors.size(), std::size_t(3));
        QVERIFY(result->points.size() > 4);
        for (std::size_t i = 0; i < result->points.size(); ++i) {
            const auto choice = result->choice(i);
            const double best = bestByTryingAll(*result, decidedBytes(*result, choice));
            QVERIFY(std::abs(decidedError(*result, choice) - best) <= 1e-12 * best);
        }
    }

    void pointsDescendAndAgreeWithTheirRecipes_data()
    {
        QTest::addColumn<int>("family");
        QTest::newRow("llama, tied") << 0;
        QTest::newRow("llama") << 1;
        QTest::newRow("mixtral") << 2;
        QTest::newRow("gpt-2") << 3;
        QTest::newRow("gguf") << 4;
        QTest::newRow("llama with a stored tied head") << 5;
    }

    void pointsDescendAndAgreeWithTheirRecipes()
    {
        QFETCH(int, family);
        auto model = family == 0 ? tests::llama({.blocks = 11})
            : family == 2        ? tests::mixtral()
            : family == 3        ? tests::gpt2()
            : family == 4        ? tests::gguf({.blocks = 3, .tied = false}, 4)
                                 : tests::llama({.blocks = 3, .tied = false});
        model.config.tiedEmbeddings = family == 0 || family == 5;
        const auto study = studyOf(model, 7);
        // The embedding may be quantized too: nothing but norms is kept.
        for (const auto& keep :
            {std::vector<std::string> {"*norm*"}, Recipe::uniform(tests::scheme("int4"), model).keep}) {
            const auto result = frontier(study, {}, keep);
            QVERIFY(result);
            auto base = Recipe::uniform(tests::scheme("int4"), model);
            base.keep = keep;
            for (std::size_t i = 0; i < result->points.size(); ++i) {
                const auto& point = result->points[i];
                if (i > 0) {
                    QVERIFY(point.bytes > result->points[i - 1].bytes);
                    QVERIFY(point.error < result->points[i - 1].error);
                }
                const auto recipe = recipeAt(*result, i, study, base);
                const auto plan = resolve(recipe, model);
                QCOMPARE(plan.bytes, point.bytes);
                QCOMPARE(plan.bitsPerWeight, point.bitsPerWeight);
                const auto place = placeOf(recipe, study, "here");
                QCOMPARE(place.bytes, point.bytes);
                QVERIFY(std::abs(place.error - point.error) <= 1e-12 * result->points.front().error);
            }
            QCOMPARE(result->points.back().error, 0.0);  // everything as stored
            QCOMPARE(resolve(recipeAt(*result, result->points.size() - 1, study, base), model).quantizedParameters,
                std::uint64_t(0));
        }
    }

    void findsThePointForABudget()
    {
        const auto study = studyOf(tests::llama(), 3);
        const auto result = frontier(study, {"int4", "int8", "int2"}, {"*embed*"}).value();
        QVERIFY(!result.at(result.points.front().bytes - 1));
        for (std::size_t i = 0; i < result.points.size(); ++i) {
            QCOMPARE(result.at(result.points[i].bytes), std::optional(i));
            QCOMPARE(result.at(result.points[i].bytes + 1), std::optional(i));
        }
        QCOMPARE(result.at(~0ULL), std::optional(result.points.size() - 1));
    }

    void uniformRecipesLieAboveTheFrontier()
    {
        const auto model = tests::llama({.blocks = 4});
        const auto study = studyOf(model, 5);
        const auto result = frontier(study, {}, Recipe::uniform(tests::scheme("int4"), model).keep).value();
        for (const auto& text : kSchemes) {
            const auto place = placeOf(Recipe::uniform(tests::scheme(text), model), study, text);
            const auto point = result.at(place.bytes);
            QVERIFY(point);
            // Between two hull points the line through them is the bound.
            const auto& low = result.points[*point];
            const auto& high = result.points[*point + 1];
            const double share = double(place.bytes - low.bytes) / double(high.bytes - low.bytes);
            QVERIFY(place.error >= (low.error + share * (high.error - low.error)) * (1 - 1e-12));
        }
    }

    // One matrix of 64×64 in BF16 (8192 bytes), kept norms aside. int8 takes 64 × (64 + 2) = 4224 bytes, int4:g32 takes
    // 64 × (32 + 4) = 2304.
    void smallestExampleByHand()
    {
        ModelCatalog model;
        tests::addTensor(model, "model.layers.0.self_attn.o_proj.weight", {64, 64});
        auto study = studyOf(model, 1, {"int8", "int4:g32"});
        TensorMeasurement measurement;
        measurement.tensor = model.tensors[0].name;
        for (const auto& [text, error] : {std::pair {"int8", 1.0}, {"int4:g32", 10.0}}) {
            SchemeMeasurement result;
            result.scheme = tests::scheme(text);
            result.error.count = 1;
            result.error.signalEnergy = 100.0;
            result.error.errorEnergy = error;
            measurement.schemes.push_back(result);
        }
        study.add(measurement);
        const auto result = frontier(study, {}, {}).value();
        QCOMPARE(result.points.size(), std::size_t(3));
        QCOMPARE(result.points[0].bytes, std::uint64_t(2304));
        QCOMPARE(result.points[0].error, 0.1);
        QCOMPARE(result.points[0].bitsPerWeight, 4.5);
        QCOMPARE(result.points[1].bytes, std::uint64_t(4224));
        QCOMPARE(result.points[1].error, 0.01);
        QCOMPARE(result.points[2].bytes, std::uint64_t(8192));
        QCOMPARE(result.points[2].error, 0.0);
    }

    void fusedTensorsShareAndUnmeasuredOnesStay()
    {
        const auto model = tests::llama({.blocks = 1});
        auto study = studyOf(model, 2);
        study.measurements.erase("model.layers.0.self_attn.k_proj.weight");
        const auto result = frontier(study, {}, {"*embed*"}).value();
        QCOMPARE(result.groups[0].tensors.size(), std::size_t(3));
        QCOMPARE(result.groups[0].options.size(), std::size_t(1));
        QVERIFY(result.groups[0].options[0].scheme.empty());
        QVERIFY(result.groups[1].options.size() > 1);
        QVERIFY(std::isnan(placeOf(Recipe::uniform(tests::scheme("int4"), model), study, "").error));
        QCOMPARE(placeOf(Recipe::uniform(tests::scheme("int4"), model), study, "x").label, std::string("x"));
    }

    void refusesWhatItCannotAllocate()
    {
        const auto study = studyOf(tests::llama(), 1);
        QCOMPARE(frontier(study, {"int99"}, {}).error().code, ErrorCode::InvalidArgument);
        QCOMPARE(frontier(study, {"int5"}, {}).error().code, ErrorCode::InvalidArgument);  // never measured
        QCOMPARE(frontier(study, {}, {"*"}).error().code, ErrorCode::InvalidArgument);
        StudySnapshot empty;
        QCOMPARE(frontier(empty, {}, {}).error().code, ErrorCode::InvalidArgument);
        QVERIFY(frontier(study, {"int4:g128:sym"}, {}));  // any spelling
    }

    /// Between the hull's points, too, and the other way round.
    void allocationsAreTheBestOfAll()
    {
        std::mt19937 random {12};
        for (unsigned round = 0; round < 30; ++round) {
            const auto study = studyOf(tests::llama({.blocks = 1}), 100 + round, {"int2", "int4", "int8"});
            const auto found = frontier(study, {}, {"model.embed_tokens.weight", "lm_head.weight"});
            QVERIFY(found);
            const auto& least = found->points.front();
            const auto span = found->points.back().bytes - least.bytes;
            const auto limit = least.bytes + random() % span;
            const auto best = allocateWithin(*found, study, {AllocationLimit::Kind::TotalBytes, double(limit)});
            QVERIFY(best && best->optimal);
            QVERIFY(best->point.bytes <= limit);
            const auto undecided = least.bytes - decidedBytes(*found, std::vector<std::uint32_t>(found->groups.size()));
            const double expected = bestByTryingAll(*found, limit - undecided);
            QVERIFY(std::abs(best->point.error - expected) <= 1e-12 * expected);
            const auto recipe = recipeOf(found->groups, best->choice, study, Recipe::uniform({}, study.model));
            QCOMPARE(resolve(recipe, study.model).bytes, best->point.bytes);
            // The fewest bytes of no more error are no more bytes.
            const auto fewest = allocateWithin(*found, study, {AllocationLimit::Kind::TotalError, best->point.error});
            QVERIFY(fewest && fewest->point.bytes <= best->point.bytes);
            QVERIFY(fewest->point.error <= best->point.error);
            const AllocationLimit tooLittle {AllocationLimit::Kind::TotalBytes, double(least.bytes - 1)};
            QCOMPARE(allocateWithin(*found, study, tooLittle).error().code, ErrorCode::InvalidArgument);
        }
    }

    void allocatesByDivergence()
    {
        // The layer with the larger weight error is the one that predictions care less about.
        auto study = studyOf(tests::llama({.blocks = 1}), 3, {"int4", "int8"});
        for (const auto& tensor : study.model.tensors) {
            if (!tensor.quantizable)
                continue;
            TensorMeasurement measured {tensor.name, {}, {}};
            for (const auto& [name, old] : study.of(tensor.name)) {
                auto scheme = *old;
                const bool matters = tensor.name.find("down") != std::string::npos;
                scheme.divergence = {.mean = (matters ? 1.0 : 1e-6) * (name == "int8" ? 0.01 : 1.0), .predictions = 1};
                measured.schemes.push_back(std::move(scheme));
            }
            study.add(measured);
        }
        QCOMPARE(bestMetric(study), ErrorMetric::MeasuredKl);
        const auto found = frontier(study, {}, {"*embed*", "lm_head.weight"}, ErrorMetric::MeasuredKl);
        QVERIFY(found);
        const auto choice = found->choice(1);
        for (std::size_t i = 0; i < choice.size(); ++i) {
            const auto& name = study.model.tensors[found->groups[i].tensors.front()].name;
            QCOMPARE(choice[i] > 0, name.find("down") != std::string::npos);
        }
    }
};

QTEST_APPLESS_MAIN(TestFrontier)
#include "tst_frontier.moc"