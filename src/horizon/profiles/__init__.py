"""What a person can see of profiles and take back: the evidence behind each, its picture, cuts."""
