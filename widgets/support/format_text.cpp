// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/support/format_text.h"

#include <QCoreApplication>
#include <QStringList>

#include <array>
#include <cmath>

namespace format {
namespace {

const QChar noBreakSpace(0x00a0);
constexpr QChar minusSign(0x2212);

/// "–" and "∞" are the same in every language that the program speaks.
QString special(double value)
{
    if (std::isnan(value))
        return none();
    return value > 0 ? QStringLiteral("∞") : minusSign + QStringLiteral("∞");
}

/// A hyphen is too short beside tabular digits.
QString withTrueMinus(QString text, const QLocale& locale)
{
    return text.replace(locale.negativeSign(), QString(minusSign));
}

/// `digits` significant digits without an exponent and without trailing zeros after the decimal point.
QString plain(double value, int digits, const QLocale& locale)
{
    if (value == 0.0)
        return locale.toString(0);
    const int magnitude = static_cast<int>(std::floor(std::log10(std::abs(value))));
    const int decimals = std::max(0, digits - 1 - magnitude);
    auto text = locale.toString(value, 'f', decimals);
    if (decimals > 0) {
        const auto zero = locale.zeroDigit();
        while (text.endsWith(zero))
            text.chop(zero.size());
        if (text.endsWith(locale.decimalPoint()))
            text.chop(locale.decimalPoint().size());
    }
    return withTrueMinus(text, locale);
}

/// Scales by `base` until below it, judged after rounding so that 1023.96 KiB becomes 1 MiB, not 1,024 KiB.
template<std::size_t count>
QString scaled(
    double value, double base, const std::array<const char*, count>& units, int digits, const QLocale& locale)
{
    std::size_t unit = 0;
    double rest = std::abs(value);
    const double limit = base - 0.5;
    while (rest >= limit && unit + 1 < count) {
        rest /= base;
        ++unit;
    }
    // Four digits before the point occur with base 1024 only and are all shown.
    const auto text = plain(value < 0 ? -rest : rest, rest >= 1000 ? std::max(digits, 4) : digits, locale);
    const auto suffix = QString::fromUtf8(units[unit]);
    return suffix.isEmpty() ? text : text + noBreakSpace + suffix;
}

}  // namespace

QString none()
{
    return QStringLiteral("–");
}

QString number(double value, int significantDigits, const QLocale& locale)
{
    if (!std::isfinite(value))
        return special(value);
    const double magnitude = std::abs(value);
    if (magnitude != 0.0 && (magnitude < 1e-4 || magnitude >= 1e6))
        return withTrueMinus(locale.toString(value, 'e', std::max(0, significantDigits - 1)), locale);
    return plain(value, significantDigits, locale);
}

QString plusMinus(double value, double standardError, const QLocale& locale)
{
    const auto text = number(value, 3, locale);
    return standardError > 0.0 ? QStringLiteral("%1 ± %2").arg(text, number(standardError, 2, locale)) : text;
}

QString integer(std::uint64_t value, const QLocale& locale)
{
    return locale.toString(static_cast<qulonglong>(value));
}

QString count(std::uint64_t value, const QLocale& locale)
{
    return scaled(static_cast<double>(value), 1000.0, std::array {"", "K", "M", "B", "T"}, 3, locale);
}

QString bytes(std::uint64_t value, const QLocale& locale)
{
    return scaled(static_cast<double>(value), 1024.0, std::array {"B", "KiB", "MiB", "GiB", "TiB", "PiB"}, 3, locale);
}

QString signedBytes(std::int64_t value, const QLocale& locale)
{
    const auto text =
        scaled(static_cast<double>(value), 1024.0, std::array {"B", "KiB", "MiB", "GiB", "TiB", "PiB"}, 3, locale);
    return value > 0 ? QLatin1Char('+') + text : text;
}

QString si(double value, const QString& unit, const QLocale& locale)
{
    if (!std::isfinite(value))
        return special(value);
    static constexpr std::array prefixes {"p", "n", "µ", "m", "", "k", "M", "G", "T", "P", "E"};
    std::size_t prefix = 4;
    double rest = std::abs(value);
    while (rest >= 999.5 && prefix + 1 < prefixes.size()) {
        rest /= 1000.0;
        ++prefix;
    }
    while (rest != 0.0 && rest < 0.9995 && prefix > 0) {
        rest *= 1000.0;
        --prefix;
    }
    const auto suffix = QString::fromUtf8(prefixes[prefix]) + unit;
    const auto text = plain(value < 0 ? -rest : rest, 3, locale);
    return suffix.isEmpty() ? text : text + noBreakSpace + suffix;
}

QString decibels(double value, const QLocale& locale)
{
    const auto text = std::isfinite(value) ? withTrueMinus(locale.toString(value, 'f', 2), locale) : special(value);
    return std::isnan(value) ? text : text + noBreakSpace + QStringLiteral("dB");
}

QString bitsPerWeight(double value, const QLocale& locale)
{
    if (!std::isfinite(value))
        return special(value);
    return locale.toString(value, 'f', 2) + noBreakSpace + QStringLiteral("bpw");
}

QString percent(double ratio, const QLocale& locale)
{
    if (!std::isfinite(ratio))
        return special(ratio);
    const double value = ratio * 100.0;
    const double magnitude = std::abs(value);
    const auto text = magnitude != 0.0 && magnitude < 1e-4 ? number(value, 2, locale) : plain(value, 3, locale);
    return text + noBreakSpace + locale.percent();
}

QString difference(double value, int significantDigits, const QLocale& locale)
{
    const auto text = number(value, significantDigits, locale);
    return value > 0 ? QLatin1Char('+') + text : text;
}

QString shape(std::span<const std::uint64_t> extents)
{
    if (extents.empty())
        return QCoreApplication::translate("Format", "scalar");
    QStringList texts;
    for (const auto extent : extents)
        texts << QString::number(extent);
    return texts.join(QStringLiteral(" × "));
}

QString duration(double seconds)
{
    if (!std::isfinite(seconds) || seconds < 0)
        return none();
    const auto total = static_cast<qint64>(std::llround(seconds));
    const auto twoDigits = [](qint64 value) { return QStringLiteral("%1").arg(value, 2, 10, QLatin1Char('0')); };
    if (total < 3600)
        return QStringLiteral("%1:%2").arg(total / 60).arg(twoDigits(total % 60));
    return QStringLiteral("%1:%2:%3").arg(total / 3600).arg(twoDigits(total / 60 % 60), twoDigits(total % 60));
}

}  // namespace format
