// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/tickers.h"

#include "widgets/support/format_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace {

/// 12 digits hide the rounding of tick positions such as 0.30000000000000004.
QString shortest(double value, const QLocale& locale)
{
    auto text = locale.toString(value, 'g', 12);
    return text.replace(locale.negativeSign(), QString(QChar(0x2212)));
}

struct Prefix {
    double factor;
    const char* text;
};
constexpr std::array prefixes {Prefix {1e15, "P"}, Prefix {1e12, "T"}, Prefix {1e9, "G"}, Prefix {1e6, "M"},
    Prefix {1e3, "k"}, Prefix {1.0, ""}, Prefix {1e-3, "m"}, Prefix {1e-6, "µ"}, Prefix {1e-9, "n"}};

}  // namespace

SiTicker::SiTicker()
{
    setTickCount(5);
}

QVector<QString> SiTicker::createLabelVector(
    const QVector<double>& ticks, const QLocale& locale, QChar formatChar, int precision)
{
    // One prefix for the whole axis, so that labels differ only in their digits. Values down to 0.001 stay plain.
    double largest = 0.0;
    for (const double tick : ticks)
        largest = std::max(largest, std::abs(tick));
    if (largest >= 0.005 && largest < 1e4)
        return QCPAxisTicker::createLabelVector(ticks, locale, formatChar, precision);
    const auto* prefix = std::find_if(
        prefixes.begin(), prefixes.end() - 1, [largest](const Prefix& p) { return largest >= p.factor * 0.9999; });
    QVector<QString> labels;
    for (const double tick : ticks) {
        const auto text = shortest(tick / prefix->factor, locale);
        labels << (tick == 0.0 ? text : text + QString::fromUtf8(prefix->text));
    }
    return labels;
}

QString SiTicker::getTickLabel(double tick, const QLocale& locale, QChar, int)
{
    return shortest(tick, locale);
}

ByteTicker::ByteTicker()
{
    setTickCount(5);
}

double ByteTicker::getTickStep(const QCPRange& range)
{
    const double wanted = range.size() / std::max(1, tickCount());
    const double unit = std::pow(1024.0, std::max(0.0, std::floor(std::log2(std::max(1.0, wanted)) / 10.0)));
    static const QVector<double> nice {1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 512, 1024};
    // Labels in the next larger unit: decimal steps would be 1.17 and 1.37 MiB there.
    static const QVector<double> binary {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024};
    return unit * pickClosest(wanted / unit, range.upper >= 1024.0 * unit ? binary : nice);
}

QString ByteTicker::getTickLabel(double tick, const QLocale& locale, QChar, int)
{
    return tick < 0.5 ? locale.toString(0) : format::bytes(static_cast<std::uint64_t>(std::llround(tick)), locale);
}

DecadeTicker::DecadeTicker()
{
    setLogBase(10.0);
    setSubTickCount(8);
}

QVector<double> DecadeTicker::createTickVector(double tickStep, const QCPRange& range)
{
    constexpr double narrow = 6.0, medium = 320.0;  // upper over lower end
    const double ratio = range.lower > 0.0 ? range.upper / range.lower : std::numeric_limits<double>::infinity();
    m_ticks = ratio < narrow ? Ticks::Even : ratio < medium ? Ticks::TwosAndFives : Ticks::Powers;
    if (m_ticks == Ticks::Powers)
        return QCPAxisTickerLog::createTickVector(tickStep, range);
    if (m_ticks == Ticks::Even)
        return QCPAxisTicker::createTickVector(  // clazy:exclude=skipped-base-method
            QCPAxisTicker::getTickStep(range), range);
    QVector<double> ticks;
    const int last = static_cast<int>(std::ceil(std::log10(range.upper)));
    for (int exponent = static_cast<int>(std::floor(std::log10(range.lower))); exponent <= last; ++exponent)
        for (const double factor : {1.0, 2.0, 5.0})
            ticks << factor * std::pow(10.0, exponent);
    return ticks;
}

int DecadeTicker::getSubTickCount(double tickStep)
{
    return m_ticks != Ticks::Powers ? 0 : QCPAxisTickerLog::getSubTickCount(tickStep);
}

QString DecadeTicker::getTickLabel(double tick, const QLocale& locale, QChar, int)
{
    if (!(tick > 0.0))
        return {};
    if (m_ticks == Ticks::Even)
        return shortest(tick, locale);
    const int exponent = static_cast<int>(std::floor(std::log10(tick) + 1e-9));
    const double digit = tick / std::pow(10.0, exponent);
    if (m_ticks == Ticks::Powers && std::abs(digit - 1.0) > 1e-6)
        return {};
    if (exponent >= -2 && exponent < 3)
        return shortest(tick, locale);
    const auto* prefix =
        std::find_if(prefixes.begin(), prefixes.end(), [tick](const Prefix& p) { return tick >= p.factor * 0.9999; });
    if (exponent >= 3 && prefix != prefixes.end())
        return shortest(tick / prefix->factor, locale) + QString::fromUtf8(prefix->text);
    return QString::number(std::lround(digit)) + u'e' + QChar(0x2212) + QString::number(-exponent);
}

IntegerTicker::IntegerTicker()
{
    setTickCount(6);
}

double IntegerTicker::getTickStep(const QCPRange& range)
{
    return std::max(1.0, std::round(QCPAxisTicker::getTickStep(range)));
}

int IntegerTicker::getSubTickCount(double tickStep)
{
    return tickStep < 2.0 ? 0 : std::min(4, static_cast<int>(tickStep) - 1);
}

QString IntegerTicker::getTickLabel(double tick, const QLocale& locale, QChar, int)
{
    return locale.toString(static_cast<qlonglong>(std::llround(tick)));
}
