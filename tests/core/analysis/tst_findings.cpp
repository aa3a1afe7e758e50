// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/analysis/findings.h"

#include <QTest>

#include <algorithm>
#include <cmath>

using namespace quantloupe;

namespace {

/// A study put together by hand: figures in, sentences out.
class StudyBuilder
{
public:
    WeightStatistics& tensor(const std::string& name, TensorRole role = TensorRole::Down)
    {
        CatalogTensor entry;
        entry.name = name;
        entry.parts.role = role;
        m_study.model.tensors.push_back(entry);
        m_pending.push_back({.tensor = name, .weights = quiet(), .schemes = {}});
        return m_pending.back().weights;
    }

    SchemeMeasurement& scheme(const std::string& text, double sqnrDb, std::uint64_t bytes)
    {
        SchemeMeasurement measured;
        measured.scheme = Scheme::parse(text).value();
        measured.error = {.count = 1000, .signalEnergy = 100.0, .errorEnergy = 100.0 / std::pow(10.0, sqnrDb / 10.0)};
        measured.storedBytes = bytes;
        measured.rowErrorEnergy.assign(50, 1.0F);
        measured.columnErrorEnergy.assign(100, 1.0F);
        m_pending.back().schemes.push_back(measured);
        return m_pending.back().schemes.back();
    }

    std::vector<Finding> findings()
    {
        for (const auto& measurement : m_pending)
            m_study.add(measurement);
        return findingsOf(m_study);
    }

private:
    /// Nothing to remark on.
    static WeightStatistics quiet()
    {
        WeightStatistics weights;
        weights.moments = {.count = 1000, .sum2 = 1000.0, .sum4 = 3000.0};
        weights.minimum = -3.0;
        weights.maximum = 3.0;
        weights.absMax = 3.0;
        weights.rowAbsMax.assign(50, 3.0F);
        return weights;
    }

    StudySnapshot m_study;
    std::vector<TensorMeasurement> m_pending;
};

QString textOf(const std::vector<Finding>& findings)
{
    QString text;
    for (const auto& finding : findings)
        text += QString::fromStdString(finding.tensor + ": " + finding.text + " [" + finding.scheme + "]\n");
    return text;
}

}  // namespace

class TestFindings : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void quietStudyHasNone()
    {
        StudyBuilder study;
        for (const auto* name : {"a", "b", "c", "d", "e"}) {
            study.tensor(name);
            study.scheme("int8", 40.0, 1000);
            study.scheme("int4:g128", 20.0, 500);
        }
        const auto findings = study.findings();
        QVERIFY2(findings.empty(), qPrintable(textOf(findings)));
        QVERIFY(findingsOf(StudySnapshot {}).empty());
    }

    void brokenValuesComeFirst()
    {
        StudyBuilder study;
        study.tensor("tails").moments.sum4 = 50000.0;
        auto& zero = study.tensor("zero");
        zero.minimum = zero.maximum = zero.absMax = 0.0;
        auto& constant = study.tensor("constant");
        constant.minimum = constant.maximum = constant.absMax = 0.25;
        study.tensor("holes").nonFinite = 3;
        auto& dead = study.tensor("dead");
        dead.rowAbsMax[7] = dead.rowAbsMax[9] = 0.0F;
        const auto findings = study.findings();
        QCOMPARE(textOf(findings),
            QString::fromUtf8("holes: 3 weights of 1003 are NaN or infinite, and left out of every other figure. []\n"
                              "constant: Every weight has the same value, 0.25. []\n"
                              "zero: Every weight is zero. []\n"
                              "tails: Heavy tails: excess kurtosis 47.0 where a normal distribution has 0; the "
                              "outermost weight lies 3.0 σ "
                              "from the mean, and 0 weights lie beyond 6 σ. []\n"
                              "dead: 2 output channels of 50 are all zero. []\n"));
    }

    void loudChannels_data()
    {
        QTest::addColumn<int>("loud");
        QTest::addColumn<float>("energy");
        QTest::addColumn<bool>("input");
        QTest::addColumn<QString>("expected");
        QTest::addRow("one of 100")
            << 1 << 99.0F << true
            << "t: 1 input channel carries 50 % of the error under int4 (3; 1.0 % of the channels). [int4]\n";
        QTest::addRow("five of 100, four shown")
            << 5 << 20.0F << true
            << QString::fromUtf8("t: 5 input channels carry 51 % of the error under int4 (3, 4, 5, 6, …; 5.0 % of the "
                                 "channels). [int4]\n");
        QTest::addRow("two of 50 rows")
            << 2 << 12.0F << false
            << "t: 2 output channels carry 33 % of the error under int4 (3, 4; 4.0 % of the channels). [int4]\n";
        QTest::addRow("loud but too small a part") << 1 << 6.0F << true << "";
        QTest::addRow("too many to be few") << 11 << 30.0F << true << "";
        QTest::addRow("not loud enough") << 8 << 5.0F << true << "";
    }
    void loudChannels()
    {
        QFETCH(const int, loud);
        QFETCH(const float, energy);
        QFETCH(const bool, input);
        QFETCH(const QString, expected);
        StudyBuilder study;
        study.tensor("t");
        auto& measured = study.scheme("int4:g128", 20.0, 500);
        auto& energies = input ? measured.columnErrorEnergy : measured.rowErrorEnergy;
        std::fill_n(energies.begin() + 3, loud, energy);
        QCOMPARE(textOf(study.findings()), expected);
    }

    void lowSqnrIsToldOncePerTensor()
    {
        StudyBuilder study;
        for (const auto* name : {"a", "b", "c", "bad"}) {
            const bool bad = std::string(name) == "bad";
            study.tensor(name);
            study.scheme("int8", bad ? 36.0 : 40.0, 1000);
            study.scheme("int4:g128", bad ? 12.5 : 20.0, 500);
        }
        QCOMPARE(textOf(study.findings()),
            "bad: SQNR is 12.5 dB under int4, 7.5 dB below the median of the 4 tensors of role down (20.0 dB). "
            "[int4]\n");
    }

    void lowSqnrNeedsPeers()
    {
        StudyBuilder study;
        for (const auto* name : {"a", "b", "bad"}) {
            study.tensor(name);
            study.scheme("int4", std::string(name) == "bad" ? 5.0 : 20.0, 500);
        }
        study.tensor("other role", TensorRole::Up);
        study.scheme("int4", 20.0, 500);
        const auto findings = study.findings();
        QVERIFY2(findings.empty(), qPrintable(textOf(findings)));
    }

    void betterSchemes_data()
    {
        QTest::addColumn<double>("sqnr");
        QTest::addColumn<qulonglong>("bytes");
        QTest::addColumn<QString>("expected");
        QTest::addRow("better and little larger")
            << 24.0 << 520ULL
            << "t: nf4 reaches 24.0 dB where int4 reaches 20.0 dB (+4.0 dB, 4.0 % more bytes). [int4]\n";
        QTest::addRow("better and smaller")
            << 24.0 << 400ULL
            << "t: nf4 reaches 24.0 dB where int4 reaches 20.0 dB (+4.0 dB, 20 % fewer bytes). [int4]\n";
        QTest::addRow("better at the same size")
            << 23.0 << 500ULL << "t: nf4 reaches 23.0 dB where int4 reaches 20.0 dB (+3.0 dB, the same size). [int4]\n";
        QTest::addRow("too large") << 30.0 << 530ULL << "";
        QTest::addRow("hardly better") << 22.5 << 500ULL << "";
    }
    void betterSchemes()
    {
        QFETCH(const double, sqnr);
        QFETCH(const qulonglong, bytes);
        QFETCH(const QString, expected);
        StudyBuilder study;
        study.tensor("t");
        study.scheme("int4", 20.0 - 1e-9, 500);
        study.scheme("nf4", sqnr, bytes);
        const auto findings = study.findings();
        QCOMPARE(textOf(findings), expected);
        for (const auto& finding : findings) {
            QVERIFY(finding.kind == FindingKind::BetterScheme && finding.cure.has_value());
            QVERIFY(finding.cure->scheme == Scheme::parse("nf4").value());
            QVERIFY(std::abs(finding.cure->sqnrBefore - 20.0) < 1e-6);
            QVERIFY(std::abs(finding.cure->sqnrAfter - sqnr) < 1e-6);
            QCOMPARE(finding.cure->bytesBefore, 500U);
            QCOMPARE(finding.cure->bytesAfter, bytes);
            QCOMPARE(finding.cure->measuredRows, finding.cure->rows);
        }
    }

    void sameAdviceForManyIsOneFinding()
    {
        StudyBuilder study;
        for (const auto& [name, gain] : {std::pair {"a", 4.0}, {"b", 5.0}, {"c", 1.0}}) {
            study.tensor(name);
            study.scheme("int4", 20.0, 500);
            study.scheme("nf4", 20.0 + gain, 500);
        }
        QCOMPARE(textOf(study.findings()),
            "b: nf4 is better by 3 dB or more than int4 in 2 of 3 tensors, most of all here: it reaches 25.0 dB where "
            "int4 "
            "reaches 20.0 dB (+5.0 dB, the same size). [int4]\n");
    }

    void keepsTheWorstOfAKind()
    {
        StudyBuilder study;
        for (int i = 0; i < 30; ++i)
            study.tensor(QStringLiteral("t%1").arg(i).toStdString()).moments.sum4 = 20000.0 + 100.0 * i;
        const auto findings = study.findings();
        QCOMPARE(findings.size(), 12U);
        QCOMPARE(findings.front().tensor, std::string("t29"));
        QCOMPARE(findings.back().tensor, std::string("t18"));
        QVERIFY(std::is_sorted(findings.begin(), findings.end(),
            [](const Finding& a, const Finding& b) { return a.severity > b.severity; }));
    }
};

QTEST_APPLESS_MAIN(TestFindings)
#include "tst_findings.moc"
