// SPDX-License-Identifier: GPL-3.0-or-later
#include "widgets/plots/metric_text.h"

#include "widgets/support/format_text.h"

#include <QCoreApplication>

#include <cmath>

using quantloupe::ErrorMetric;

namespace {

QString tr(const char* text)
{
    return QCoreApplication::translate("ErrorMetric", text);
}

}  // namespace

QString metricTitle(ErrorMetric metric)
{
    switch (metric) {
    case ErrorMetric::Sqnr: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "SQNR"));
    case ErrorMetric::RelativeError: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Relative error"));
    case ErrorMetric::MeanSquared: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Mean squared error"));
    case ErrorMetric::MaxAbs: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Largest error"));
    case ErrorMetric::ModelError: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Size-weighted error"));
    case ErrorMetric::OutputError: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Output error"));
    case ErrorMetric::Fisher: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Predicted KL (Fisher)"));
    case ErrorMetric::Kfac: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Predicted KL (K-FAC)"));
    case ErrorMetric::OnePointKl: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Estimated KL"));
    case ErrorMetric::MeasuredKl: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Measured KL"));
    }
    return {};
}

QString metricAxis(ErrorMetric metric)
{
    switch (metric) {
    case ErrorMetric::Sqnr: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "SQNR (dB)"));
    case ErrorMetric::RelativeError:
        return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Relative error (of the tensor's energy)"));
    case ErrorMetric::MeanSquared: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Mean squared error (weight units²)"));
    case ErrorMetric::MaxAbs: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Largest error (weight units)"));
    case ErrorMetric::ModelError:
        return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Size-weighted error (of the model's energy)"));
    case ErrorMetric::OutputError: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Output error (of the outputs' energy)"));
    case ErrorMetric::Fisher: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "KL predicted by Fisher (nats per token)"));
    case ErrorMetric::Kfac: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "KL predicted by K-FAC (nats per token)"));
    case ErrorMetric::OnePointKl: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Estimated KL (nats per token)"));
    case ErrorMetric::MeasuredKl: return tr(QT_TRANSLATE_NOOP("ErrorMetric", "Measured KL (nats per token)"));
    }
    return {};
}

QString metricExplanation(ErrorMetric metric)
{
    switch (metric) {
    case ErrorMetric::Sqnr:
        return tr(QT_TRANSLATE_NOOP("ErrorMetric",
            "Signal-to-quantization-noise ratio of the weights in decibels. Higher is better; one bit more is worth "
            "about "
            "6 dB. It compares schemes of one tensor well and tensors with each other badly."));
    case ErrorMetric::RelativeError:
        return tr(QT_TRANSLATE_NOOP("ErrorMetric",
            "Squared weight error over squared weights, 0 when lossless. Lower is better. It does not know how much "
            "the "
            "model depends on the tensor."));
    case ErrorMetric::MeanSquared:
        return tr(QT_TRANSLATE_NOOP("ErrorMetric",
            "Mean squared weight error. Lower is better. It follows the scale of the tensor's weights, so compare it "
            "within "
            "one tensor only."));
    case ErrorMetric::MaxAbs:
        return tr(QT_TRANSLATE_NOOP("ErrorMetric",
            "The largest single weight error. Lower is better. One outlier decides it, so it says little about the "
            "rest."));
    case ErrorMetric::ModelError:
        return tr(QT_TRANSLATE_NOOP("ErrorMetric",
            "Squared weight error of the tensor over the squared weights of the whole model: what the trade-off adds "
            "up. "
            "Lower is better; large tensors count for more."));
    case ErrorMetric::OutputError:
        return tr(QT_TRANSLATE_NOOP("ErrorMetric",
            "What the layer's outputs lose over the tokens of the calibration, squared, over the squared outputs. "
            "Lower "
            "is better. It knows which inputs are loud, but not how much the model depends on the layer."));
    case ErrorMetric::Fisher:
        return tr(QT_TRANSLATE_NOOP("ErrorMetric",
            "How far the model's predictions move when this layer alone is quantized, by the squared gradients of its "
            "weights. Lower is better. It knows every weight, but not how errors of several add up."));
    case ErrorMetric::Kfac:
        return tr(QT_TRANSLATE_NOOP("ErrorMetric",
            "How far the model's predictions move when this layer alone is quantized, by the gradients of its outputs "
            "and by its inputs. Lower is better. One backward pass tells it of every scheme."));
    case ErrorMetric::OnePointKl:
        return tr(QT_TRANSLATE_NOOP("ErrorMetric",
            "How far the model's predictions move when this layer alone is quantized: measured once for the layer, and "
            "scaled by what its outputs lose. Lower is better. A good guide inside one bit width."));
    case ErrorMetric::MeasuredKl:
        return tr(QT_TRANSLATE_NOOP("ErrorMetric",
            "How far the model's predictions move when this layer alone is quantized, measured on text. Lower is "
            "better. "
            "Distrust differences smaller than twice its standard error."));
    }
    return {};
}

QString metricValue(ErrorMetric metric, double value)
{
    return metric == ErrorMetric::Sqnr ? format::decibels(value) : format::number(value, 3);
}

QString metricCell(ErrorMetric metric, double value)
{
    if (metric != ErrorMetric::Sqnr || !std::isfinite(value))
        return format::number(value, 2);
    return QLocale().toString(value, 'f', 1).replace(u'-', QChar(0x2212));
}

bool isLogarithmic(ErrorMetric metric)
{
    return metric != ErrorMetric::Sqnr;
}

bool drawable(ErrorMetric metric, double value)
{
    return std::isfinite(value) && (!isLogarithmic(metric) || value > 0.0);
}
