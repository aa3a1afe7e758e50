// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/support/format_text.h"

#include <QTest>

#include <cmath>
#include <limits>

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double notANumber = std::numeric_limits<double>::quiet_NaN();
const QLocale german(QLocale::German, QLocale::Germany);

/// The expected texts are written with ordinary blanks and hyphens.
QString simple(QString text)
{
    return text.replace(QChar(0x00a0), u' ').replace(QChar(0x2212), u'-');
}

}  // namespace

class TestFormatText : public QObject
{
    Q_OBJECT
private Q_SLOTS:
    void initTestCase() { QLocale::setDefault(QLocale(QLocale::English, QLocale::UnitedStates)); }

    void formats_data()
    {
        QTest::addColumn<QString>("text");
        QTest::addColumn<QString>("expected");
        const auto row = [](const char* name, const QString& text, const char* expected) {
            QTest::newRow(name) << text << QString::fromUtf8(expected);
        };
        row("bytes 0", format::bytes(0), "0 B");
        row("bytes 1023", format::bytes(1023), "1,023 B");
        row("bytes 1024", format::bytes(1024), "1 KiB");
        row("bytes rounds up to the next unit", format::bytes(1024 * 1024 - 1), "1 MiB");
        row("bytes 4.1 GiB", format::bytes(4402341478ULL), "4.1 GiB");
        row("bytes 15 GiB", format::bytes(16060522496ULL), "15 GiB");
        row("bytes largest", format::bytes(std::numeric_limits<std::uint64_t>::max()), "16,384 PiB");
        row("signed bytes less", format::signedBytes(-1536), "-1.5 KiB");
        row("signed bytes more", format::signedBytes(1536), "+1.5 KiB");
        row("signed bytes none", format::signedBytes(0), "0 B");
        row("count small", format::count(512), "512");
        row("count stories", format::count(260032), "260 K");
        row("count llama", format::count(8030261248ULL), "8.03 B");
        row("count rounds up", format::count(999999), "1 M");
        row("integer", format::integer(1234567), "1,234,567");
        row("number", format::number(0.0123456), "0.01235");
        row("number zero", format::number(0.0), "0");
        row("number negative", format::number(-12.5), "-12.5");
        row("number whole keeps zeros", format::number(1200.0), "1,200");
        row("number small", format::number(0.00000012, 2), "1.2E-07");
        row("number nan", format::number(notANumber), "–");
        row("number infinite", format::number(-infinity), "-∞");
        row("plus or minus", format::plusMinus(0.01812, 0.00123), "0.0181 ± 0.0012");
        row("plus or minus unknown", format::plusMinus(0.01812, 0.0), "0.0181");
        row("si", format::si(3.1e9, QStringLiteral("B/s")), "3.1 GB/s");
        row("si small", format::si(0.0025, QStringLiteral("J")), "2.5 mJ");
        row("si rounds up", format::si(999.9, QStringLiteral("W")), "1 kW");
        row("si zero", format::si(0.0, QStringLiteral("W")), "0 W");
        row("dB", format::decibels(24.126), "24.13 dB");
        row("dB lossless", format::decibels(infinity), "∞ dB");
        row("dB unknown", format::decibels(notANumber), "–");
        row("bpw", format::bitsPerWeight(4.3125), "4.31 bpw");
        row("percent", format::percent(0.0384), "3.84 %");
        row("percent tiny", format::percent(2e-8), "2.0E-06 %");
        row("percent all", format::percent(1.0), "100 %");
        row("difference", format::difference(0.42), "+0.42");
        row("difference less", format::difference(-3.0), "-3");
        row("duration", format::duration(41), "0:41");
        row("duration hours", format::duration(3723), "1:02:03");
        row("duration unknown", format::duration(infinity), "–");
        row("German number", format::number(1.5, 4, german), "1,5");
        row("German integer", format::integer(1234567, german), "1.234.567");
        row("German bytes", format::bytes(1610612736, german), "1,5 GiB");
    }
    void formats()
    {
        QFETCH(const QString, text);
        QFETCH(const QString, expected);
        QCOMPARE(simple(text), expected);
    }

    /// Rounded texts read back near to what they were made from, over all magnitudes.
    void bytesReadBack()
    {
        for (std::uint64_t value = 1; value < (1ULL << 62); value = value * 3 + 1) {
            const auto parts = simple(format::bytes(value)).split(u' ');
            const auto unit = QStringList {"B", "KiB", "MiB", "GiB", "TiB", "PiB"}.indexOf(parts[1]);
            const double back = QString(parts[0]).remove(u',').toDouble() * std::pow(1024.0, static_cast<double>(unit));
            QVERIFY2(std::abs(back / static_cast<double>(value) - 1.0) < 0.006, qPrintable(parts.join(u' ')));
        }
    }
};

QTEST_GUILESS_MAIN(TestFormatText)
#include "tst_format_text.moc"
