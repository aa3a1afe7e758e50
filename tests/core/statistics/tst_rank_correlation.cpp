// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/statistics/rank_correlation.h"

#include <QTest>

#include <cmath>

using namespace quantloupe;

class TestRankCorrelation : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    /// By hand: 8/√95 and 7/√72.
    void figures_data()
    {
        QTest::addColumn<QList<double>>("a");
        QTest::addColumn<QList<double>>("b");
        QTest::addColumn<double>("expected");
        QTest::newRow("the same order") << QList<double> {1, 5, 9} << QList<double> {2, 3, 100} << 1.0;
        QTest::newRow("the other way round") << QList<double> {1, 5, 9} << QList<double> {3, 2, 1} << -1.0;
        QTest::newRow("in part") << QList<double> {1, 2, 3, 4, 5} << QList<double> {5, 6, 7, 8, 7}
                                 << 0.8207826816681233;
        QTest::newRow("equals on both sides")
            << QList<double> {1, 1, 2, 2, 3} << QList<double> {3, 1, 3, 3, 4} << 0.8249579113843055;
    }
    void figures()
    {
        QFETCH(const QList<double>, a);
        QFETCH(const QList<double>, b);
        QFETCH(const double, expected);
        const double found = rankCorrelation({a.data(), std::size_t(a.size())}, {b.data(), std::size_t(b.size())});
        QVERIFY2(std::abs(found - expected) < 1e-12, qPrintable(QString::number(found, 'g', 17)));
    }

    void nothingToRank()
    {
        const std::vector<double> one {1.0}, same {2.0, 2.0}, two {1.0, 3.0};
        QVERIFY(std::isnan(rankCorrelation({}, {})));
        QVERIFY(std::isnan(rankCorrelation(one, one)));
        QVERIFY(std::isnan(rankCorrelation(same, two)));
        QCOMPARE(ranksOf(std::vector<double> {7, 3, 7, 1}), (std::vector<double> {3.5, 2, 3.5, 1}));
    }
};

QTEST_APPLESS_MAIN(TestRankCorrelation)
#include "tst_rank_correlation.moc"
