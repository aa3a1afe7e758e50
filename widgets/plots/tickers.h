// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include "widgets/support/qcustomplot.h"

/// Linear ticks labelled with SI prefixes where numbers are large or small: "2.5k", "100µ". In ranges where plain
/// decimals are short it writes those. For use with QCPAxis::setTicker(QSharedPointer).
class SiTicker final : public QCPAxisTicker
{
public:
    SiTicker();

protected:
    QString getTickLabel(double tick, const QLocale& locale, QChar formatChar, int precision) override;
    QVector<QString> createLabelVector(
        const QVector<double>& ticks, const QLocale& locale, QChar formatChar, int precision) override;
};

/// Linear ticks for bytes, at round binary numbers: "0", "512 MiB", "1.5 GiB".
class ByteTicker final : public QCPAxisTicker
{
public:
    ByteTicker();

protected:
    double getTickStep(const QCPRange& range) override;
    QString getTickLabel(double tick, const QLocale& locale, QChar formatChar, int precision) override;
};

/// Powers of ten, labelled 1, 10, 100, 1k … and 0.1, 0.01, 1e−3 …; the axis must have stLogarithmic. A range of up to
/// two and a half decades gets 2 and 5 times each as well; one of less than a decade, which may hold none of them,
/// round numbers in even steps.
class DecadeTicker final : public QCPAxisTickerLog
{
public:
    DecadeTicker();

protected:
    QVector<double> createTickVector(double tickStep, const QCPRange& range) override;
    int getSubTickCount(double tickStep) override;
    QString getTickLabel(double tick, const QLocale& locale, QChar formatChar, int precision) override;

private:
    enum class Ticks : unsigned char { Powers, TwosAndFives, Even };
    Ticks m_ticks = Ticks::Powers;  ///< those at hand
};

/// Whole numbers only: layers, codes, channels.
class IntegerTicker final : public QCPAxisTicker
{
public:
    IntegerTicker();

protected:
    double getTickStep(const QCPRange& range) override;
    int getSubTickCount(double tickStep) override;
    QString getTickLabel(double tick, const QLocale& locale, QChar formatChar, int precision) override;
};
