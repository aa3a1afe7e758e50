// SPDX-License-Identifier: GPL-3.0-or-later
#include "core/report/formatting.h"
#include "core/report/trade_off.h"

#include <QTest>

#include <cmath>
#include <limits>

using namespace quantloupe;

class FormattingTest : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void numbers_data()
    {
        QTest::addColumn<double>("value");
        QTest::addColumn<int>("digits");
        QTest::addColumn<int>("notation");
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("full");
        constexpr int significant = int(ReportNumber::Notation::Significant);
        constexpr int fixed = int(ReportNumber::Notation::Fixed);
        constexpr int scientific = int(ReportNumber::Notation::Scientific);
        QTest::newRow("zero") << 0.0 << 4 << significant << "0"
                              << "0";
        QTest::newRow("plain") << 3.14159 << 4 << significant << "3.142"
                               << "3.14159";
        QTest::newRow("carries over") << 9.99996 << 4 << significant << "10.00"
                                      << "9.99996";
        QTest::newRow("large stays whole") << 1234567.0 << 4 << significant << "1234567"
                                           << "1234567";
        QTest::newRow("tiny") << 0.00001234 << 3 << significant << "1.23e-05"
                              << "1.234e-05";
        QTest::newRow("negative") << -0.0625 << 2 << significant << "-0.062"
                                  << "-0.0625";
        QTest::newRow("fixed") << 44.125 << 1 << fixed << "44.1"
                               << "44.125";
        QTest::newRow("scientific") << 0.0023456 << 2 << scientific << "2.35e-03"
                                    << "0.0023456";
        QTest::newRow("nothing, in a column of decades") << 0.0 << 2 << scientific << "0"
                                                         << "0";
        QTest::newRow("unknown") << std::numeric_limits<double>::quiet_NaN() << 2 << fixed << "–"
                                 << "";
        QTest::newRow("lossless") << std::numeric_limits<double>::infinity() << 2 << fixed << "∞"
                                  << "inf";
        QTest::newRow("largest double") << std::numeric_limits<double>::max() << 3 << significant << "1.80e+308"
                                        << "1.7976931348623157e+308";
    }
    void numbers()
    {
        QFETCH(double, value);
        QFETCH(int, digits);
        QFETCH(int, notation);
        QFETCH(QString, text);
        QFETCH(QString, full);
        QCOMPARE(QString::fromStdString(formatNumber({value, digits, ReportNumber::Notation(notation)})), text);
        QCOMPARE(QString::fromStdString(formatFull(value)), full);
    }

    void sizes_data()
    {
        QTest::addColumn<quint64>("bytes");
        QTest::addColumn<QString>("text");
        QTest::newRow("none") << quint64(0) << "0 bytes";
        QTest::newRow("below a unit") << quint64(1023) << "1023 bytes";
        QTest::newRow("a unit") << quint64(1024) << "1.00 KiB";
        QTest::newRow("a checkpoint") << quint64(16060522240) << "15.0 GiB";
        QTest::newRow("beyond the last unit") << (quint64(1) << 52) << "4096 TiB";
    }
    void sizes()
    {
        QFETCH(quint64, bytes);
        QFETCH(QString, text);
        QCOMPARE(QString::fromStdString(formatBytes(bytes)), text);
    }

    void counts_data()
    {
        QTest::addColumn<quint64>("count");
        QTest::addColumn<QString>("text");
        QTest::newRow("small") << quint64(512) << "512";
        QTest::newRow("thousands") << quint64(260032) << "260 k";
        QTest::newRow("rounds into the next prefix") << quint64(999999) << "1.00 M";
        QTest::newRow("billions") << quint64(8030261248) << "8.03 B";
    }
    void counts()
    {
        QFETCH(quint64, count);
        QFETCH(QString, text);
        QCOMPARE(QString::fromStdString(formatCount(count)), text);
    }

    void columnUnit()
    {
        QCOMPARE(std::string(byteUnit(1023).name), std::string("bytes"));
        QCOMPARE(std::string(byteUnit(1024).name), std::string("KiB"));
        QCOMPARE(byteUnit(std::uint64_t {5} << 30).divisor, 1073741824.0);
    }

    void evenlySpreadIndices()
    {
        QVERIFY(evenlySpread(0, 5).empty());
        QCOMPARE(evenlySpread(3, 5), (std::vector<std::size_t> {0, 1, 2}));
        const auto spread = evenlySpread(1000, 24);
        QCOMPARE(spread.size(), std::size_t {24});
        QCOMPARE(spread.front(), std::size_t {0});
        QCOMPARE(spread.back(), std::size_t {999});
        QVERIFY(std::is_sorted(spread.begin(), spread.end()));
    }
};

QTEST_GUILESS_MAIN(FormattingTest)
#include "tst_formatting.moc"
