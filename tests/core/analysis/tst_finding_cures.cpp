// SPDX-License-Identifier: GPL-3.0-or-later
// Findings whose cures are tried on the tensors of a model.
#include "core/analysis/analyze.h"
#include "core/analysis/findings.h"
#include "tests/core/analysis/synthetic_tensor.h"

#include <QTest>

#include <tbb/global_control.h>
#include <tbb/task_arena.h>

#include <algorithm>
#include <deque>

using namespace quantloupe;
using quantloupe::tests::SyntheticTensor;

namespace {

constexpr std::size_t rowCount = 160, columnCount = 384;

std::vector<float> normalWeights(unsigned seed)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal(0.0F, 0.02F);
    std::vector<float> values(rowCount * columnCount);
    std::generate(values.begin(), values.end(), [&] { return normal(random); });
    return values;
}

/// Six tensors of one role: "loud" has one large column, "tailed" some large weights, the others nothing.
class SickModel
{
public:
    SickModel()
    {
        auto loud = normalWeights(1), tailed = normalWeights(2);
        for (std::size_t row = 0; row < rowCount; ++row) {
            loud[row * columnCount + 33] = row % 2 == 0 ? 0.5F : -0.5F;
            tailed[row * columnCount + row * 7 % columnCount] *= 12.0F;
        }
        add("loud", std::move(loud));
        add("tailed", std::move(tailed));
        for (unsigned seed = 3; seed < 7; ++seed)
            add("healthy." + std::to_string(seed), normalWeights(seed));
    }

    Model model {};

    StudySnapshot study(const std::vector<std::string>& schemes) const
    {
        StudySnapshot result;
        result.model = catalogOf(model);
        std::vector<WorkUnit> work;
        for (std::size_t i = 0; i < model.tensors.size(); ++i) {
            work.push_back({i, {}});
            for (const auto& scheme : schemes)
                work.back().schemes.push_back(Scheme::parse(scheme).value());
        }
        Progress progress;
        const auto done =
            analyze(model, work, 2, {}, progress, [&](const TensorMeasurement& measurement) -> Result<void> {
                result.add(measurement);
                return {};
            });
        return done ? result : StudySnapshot {};
    }

private:
    void add(const std::string& name, std::vector<float> values)
    {
        m_tensors.emplace_back(rowCount, columnCount, std::move(values));
        model.tensors.push_back(m_tensors.back().tensor());
        model.tensors.back().name = name;
        model.tensors.back().parts.role = TensorRole::Down;
    }

    std::deque<SyntheticTensor> m_tensors {};
};

const Finding* find(const std::vector<Finding>& findings, const std::string& tensor, FindingKind kind)
{
    for (const auto& finding : findings)
        if (finding.tensor == tensor && finding.kind == kind)
            return &finding;
    return nullptr;
}

QString textOf(const std::vector<Finding>& findings)
{
    QString text;
    for (const auto& finding : findings)
        text += QString::fromStdString(finding.tensor + ": " + finding.text + "\n");
    return text;
}

}  // namespace

class TestFindingCures : public QObject
{
    Q_OBJECT
    tbb::global_control m_manyThreads {tbb::global_control::max_allowed_parallelism, 8};
    SickModel m_sick {};

private Q_SLOTS:
    void completesFindingsWithWhatWasMeasured()
    {
        const auto study = m_sick.study({"int4:channel"});
        Progress progress;
        const auto findings = findingsWithCures(m_sick.model, study, {}, progress);
        QVERIFY2(findings.has_value(), findings ? "" : describe(findings.error()).c_str());
        const auto plain = findingsOf(study);
        QCOMPARE(findings->size(), plain.size());
        std::size_t cured = 0;
        for (std::size_t i = 0; i < plain.size(); ++i) {
            const auto& finding = (*findings)[i];
            QCOMPARE(finding.tensor, plain[i].tensor);
            QVERIFY(finding.text.starts_with(plain[i].text) && finding.text != plain[i].text);
            if (!finding.cure)
                continue;
            ++cured;
            QVERIFY(finding.text.find(" " + finding.cure->sentence()) != std::string::npos);
            // The same by hand.
            const auto& tensor = m_sick.model.tensors[*m_sick.model.find(finding.tensor)];
            const auto scheme = Scheme::parse("int4:channel").value();
            const auto cures =
                tryCures(tensor, *study.findWeights(finding.tensor), scheme, &m_sick.model, {}, progress);
            QVERIFY(*finding.cure == *cureToSuggest(*cures));
            QCOMPARE(finding.cure->sqnrBefore, study.find(finding.tensor, "int4:channel")->error.sqnrDb());
        }
        QVERIFY2(cured >= 2, qPrintable(textOf(*findings)));
        const auto* low = find(*findings, "loud", FindingKind::LowSqnr);
        QVERIFY2(low && low->cure && low->cure->gain() >= 3.0, qPrintable(textOf(*findings)));
        QCOMPARE(low->cure->kind, CureKind::Rotation);
        QVERIFY2(low->text.find(" Without one: A smaller group (int4:g64) would give ") != std::string::npos,
            qPrintable(textOf(*findings)));
        const auto* tails = find(*findings, "tailed", FindingKind::HeavyTails);
        QVERIFY2(
            tails && tails->text.find(" Under int4:channel: ") != std::string::npos, qPrintable(textOf(*findings)));
    }

    void saysWhereNothingHelps()
    {
        const auto study = m_sick.study({"int8:g32+hadamard"});
        Progress progress;
        const auto findings = findingsWithCures(m_sick.model, study, {}, progress);
        QVERIFY(findings.has_value());
        const auto* tails = find(*findings, "tailed", FindingKind::HeavyTails);
        QVERIFY2(tails && !tails->cure, qPrintable(textOf(*findings)));
        QVERIFY2(tails->text.find(" Under int8:g32+hadamard: none of the ") != std::string::npos
                && tails->text.ends_with(" for at most a quarter more bytes."),
            tails->text.c_str());
    }

    void measuredAlternativesStayTheStudys()
    {
        const auto study = m_sick.study({"int4:channel", "int4:g128"});
        Progress progress;
        const auto findings = findingsWithCures(m_sick.model, study, {}, progress);
        QVERIFY(findings.has_value());
        for (const auto& finding : *findings) {
            if (finding.kind != FindingKind::BetterScheme)
                continue;
            QCOMPARE(finding.cure->scheme.toString(), std::string("int4"));
            QCOMPARE(finding.cure->sqnrAfter, study.find(finding.tensor, "int4")->error.sqnrDb());
        }
        QVERIFY2(std::any_of(findings->begin(), findings->end(),
                     [](const Finding& finding) { return finding.kind == FindingKind::BetterScheme; }),
            qPrintable(textOf(*findings)));
    }

    void tensorsOfAnotherModelArePassedOver()
    {
        const auto study = m_sick.study({"int4:channel"});
        Progress progress;
        const auto findings = findingsWithCures(Model {}, study, {}, progress);
        QVERIFY(findings && *findings == findingsOf(study));
        QCOMPARE(progress.totalItems.load(), 0U);
    }

    void sameOnAnyNumberOfThreads()
    {
        const auto study = m_sick.study({"int4:channel", "int3:g64"});
        const auto run = [&](int threads) {
            Progress progress;
            tbb::task_arena arena(threads);
            auto findings = arena.execute([&] { return findingsWithCures(m_sick.model, study, {}, progress); });
            return findings ? *findings : std::vector<Finding> {};
        };
        const auto expected = run(1);
        QVERIFY(!expected.empty());
        for (const int threads : {2, 3, 8})
            QVERIFY(run(threads) == expected);
    }

    void showsProgressAndStops()
    {
        const auto study = m_sick.study({"int4:channel"});
        Progress progress;
        QVERIFY(findingsWithCures(m_sick.model, study, {}, progress).has_value());
        QVERIFY(progress.totalItems > 0 && progress.totalBytes > 0);
        QCOMPARE(progress.doneItems.load(), progress.totalItems.load());
        QVERIFY(progress.doneBytes <= progress.totalBytes);
        std::stop_source stop;
        stop.request_stop();
        const auto findings = findingsWithCures(m_sick.model, study, stop.get_token(), progress);
        QVERIFY(!findings && findings.error().code == ErrorCode::Cancelled);
    }
};

QTEST_APPLESS_MAIN(TestFindingCures)
#include "tst_finding_cures.moc"
