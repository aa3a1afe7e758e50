// SPDX-License-Identifier: GPL-3.0-or-later
// Budgets as people say them, against projections and plans worked out by themselves.
#include "core/allocation/limited_classes.h"
#include "core/report/budget.h"
#include "core/report/trade_off.h"
#include "tests/support/synthetic_study.h"

#include <QTest>

#include <array>
#include <cmath>
#include <ctime>

using namespace quantloupe;
using namespace quantloupe::tests;
using Kind = AllocationBudget::Kind;

namespace {

constexpr std::array twelve {"int2:g32", "int2:g64", "int3:g32", "int3:g64", "int4:g32", "int4:g64", "int5:g32",
    "int5:g64", "int6:g32", "int6:g64", "int8", "int8:g32"};

DeviceProfile device()
{
    return syntheticDevice("tiny", "Tiny", 3e6, 1e8, 1e9);
}

/// Of this thread: the machine may be busy.
double cpuMilliseconds()
{
    timespec now {};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return 1e3 * double(now.tv_sec) + 1e-6 * double(now.tv_nsec);
}

Recipe baseOf(const StudySnapshot& study)
{
    auto base = *study.recipe;
    base.keep = {"*norm*"};
    return base;
}

}  // namespace

class TestBudget : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void keepsToWhatWasSaid_data()
    {
        QTest::addColumn<int>("kind");
        QTest::newRow("size") << int(Kind::Size);
        QTest::newRow("bits per weight") << int(Kind::BitsPerWeight);
        QTest::newRow("memory") << int(Kind::DeviceMemory);
        QTest::newRow("time") << int(Kind::StepTime);
        QTest::newRow("divergence") << int(Kind::Divergence);
    }

    /// Between the least and the most that can be spent, an allocation spends no more than it may, and little less.
    void keepsToWhatWasSaid()
    {
        QFETCH(const int, kind);
        const auto study = syntheticStudy(4);
        const auto base = baseOf(study);
        const auto found = frontier(study, {}, base.keep);
        QVERIFY(found);
        AllocationBudget budget {.kind = Kind(kind), .value = 1e12, .device = device(), .workload = {.context = 256}};
        const auto range = rangeOf(limitedClasses(*found, study, limitOf(budget, study.model, base).value()));
        QVERIFY(range.least < range.most);
        for (const double part : {0.02, 0.3, 0.7}) {
            const bool bits = budget.kind == Kind::BitsPerWeight, memory = budget.kind == Kind::DeviceMemory;
            const double rest = memory ? memoryBesideWeights(study.model, *budget.device, budget.workload) : 0.0;
            const double unit = bits ? 8.0 / double(study.model.parameters()) : 1.0;
            budget.value = rest + unit * (range.least + part * (range.most - range.least));
            const auto limit = limitOf(budget, study.model, base).value();
            const auto allocation = allocateWithin(*found, study, limit);
            QVERIFY(allocation);
            const auto recipe = recipeOf(found->groups, allocation->choice, study, base);
            const auto plan = resolve(recipe, study.model);
            QCOMPARE(plan.bytes, allocation->point.bytes);
            const double spent = budget.kind == Kind::Divergence ? placeOf(recipe, study, "recipe").error
                                                                 : spentBy(plan, budget, study.model);
            QVERIFY2(spent <= budget.value * (1.0 + 1e-9),
                qPrintable(QStringLiteral("%1 of %2").arg(spent).arg(budget.value)));
            QVERIFY(spent >= 0.6 * budget.value);
            const auto projection = project(study.model, plan, *budget.device, budget.workload);
            if (memory)
                QCOMPARE(spent, double(projection.totalBytes()));
            if (budget.kind == Kind::StepTime) {
                QVERIFY(std::abs(allocation->cost / spent - 1.0) < 1e-9);
                QVERIFY(1e3 / projection.decodeTokensPerSecond <= spent * (1.0 + 1e-9));
            }
        }
    }

    void memoryThatCacheAndActivationsFillIsNone()
    {
        const auto study = syntheticStudy(2);
        AllocationBudget budget {
            .kind = Kind::DeviceMemory, .value = 3e6, .device = device(), .workload = {.context = 1'000'000}};
        const auto limit = limitOf(budget, study.model, baseOf(study));
        QVERIFY(!limit);
        QCOMPARE(limit.error().code, ErrorCode::InvalidArgument);
        QVERIFY(limit.error().reason.find("1000000 tokens") != std::string::npos);
    }

    /// The page solves anew while the hand moves.
    void solvesAThousandTensorsInATenthOfASecond_data() { keepsToWhatWasSaid_data(); }
    void solvesAThousandTensorsInATenthOfASecond()
    {
        QFETCH(const int, kind);
        const auto study = syntheticStudy(143, {twelve.begin(), twelve.end()});
        const auto base = baseOf(study);
        const auto found = frontier(study, {}, base.keep, ErrorMetric::ModelError, Fused::Apart);
        QVERIFY(found && found->groups.size() >= 1000);
        AllocationBudget budget {.kind = Kind(kind), .value = 1e12, .device = device(), .workload = {.context = 256}};
        const auto range = rangeOf(limitedClasses(*found, study, limitOf(budget, study.model, base).value()));
        const double unit = budget.kind == Kind::BitsPerWeight ? 8.0 / double(study.model.parameters()) : 1.0;
        const double rest =
            budget.kind == Kind::DeviceMemory ? memoryBesideWeights(study.model, *budget.device, budget.workload) : 0.0;
        double longest = 0.0;
        for (int step = 1; step < 20; ++step) {
            budget.value = rest + unit * (range.least + (range.most - range.least) * step / 20.0);
            const double start = cpuMilliseconds();
            const auto limit = limitOf(budget, study.model, base).value();
            const auto allocation = allocateWithin(*found, study, limit, quickSearch);
            QVERIFY(allocation);
            // Where the search was cut, what was found is still next to the bound.
            const bool bytes = limit.kind == AllocationLimit::Kind::TotalError;
            const double reached = bytes ? double(allocation->point.bytes) : allocation->point.error;
            QVERIFY(reached <= allocation->bound * 1.001);
            const auto recipe = recipeOf(found->groups, allocation->choice, study, base);
            longest = std::max(longest, cpuMilliseconds() - start);
        }
        qInfo("%.1f ms at most", longest);
        QVERIFY2(longest < 100.0, qPrintable(QString::number(longest)));
    }
};

QTEST_APPLESS_MAIN(TestBudget)
#include "tst_budget.moc"
