//! Which class the next user is of.

/// An order of classes in which each comes as often as its weight says, spread as evenly as can be: smooth weighted
/// round robin, as nginx has it (<https://github.com/phusion/nginx/commit/27e94984486058d73157038f7950a0a36ecc6e35>).
#[derive(Debug, Clone)]
pub struct Schedule {
    weights: Vec<f64>,
    current: Vec<f64>,
}

impl Schedule {
    /// From the weights of the classes.
    pub fn new(weights: impl IntoIterator<Item = f64>) -> Self {
        let weights: Vec<f64> = weights.into_iter().collect();
        Self { current: vec![0.0; weights.len()], weights }
    }

    /// The next class.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> usize {
        let all: f64 = self.weights.iter().sum();
        let mut best = 0;
        for class in 0..self.weights.len() {
            self.current[class] += self.weights[class];
            if self.current[class] > self.current[best] {
                best = class;
            }
        }
        if let Some(current) = self.current.get_mut(best) {
            *current -= all;
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_come_as_often_as_they_weigh() {
        let mut schedule = Schedule::new([3.0, 1.0]);
        let order: Vec<usize> = (0..8).map(|_| schedule.next()).collect();
        assert_eq!(order, [0, 0, 1, 0, 0, 0, 1, 0]);
        let mut schedule = Schedule::new([1.0, 1.0, 1.0]);
        let order: Vec<usize> = (0..6).map(|_| schedule.next()).collect();
        assert_eq!(order, [0, 1, 2, 0, 1, 2]);
    }
}
